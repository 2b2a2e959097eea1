"""Schemas that WSDLs import by well-known addresses, in our words from the standards: loading one asks no stranger."""

from topline.sources.soap.xml import ENCODING_11, ENCODING_12, SOAP_11, SOAP_12

_BUILTIN = """
    string boolean decimal float double duration dateTime time date gYearMonth gYear gMonthDay gDay gMonth hexBinary
    base64Binary anyURI QName normalizedString token language Name NCName integer nonPositiveInteger negativeInteger long int
    short byte nonNegativeInteger unsignedLong unsignedInt unsignedShort unsignedByte positiveInteger
"""


def _soap_encoding(namespace: str) -> bytes:
    """SOAP 1.1, section 5: arrays, structs, and each built-in type as an element that may be referred to."""
    common = '<xs:attributeGroup ref="tns:common"/>'
    items = '<xs:sequence><xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></xs:sequence>'
    simple = "".join(
        f'<xs:complexType name="{name}"><xs:simpleContent><xs:extension base="xs:{name}">{common}</xs:extension>'
        f'</xs:simpleContent></xs:complexType><xs:element name="{name}" type="tns:{name}"/>'
        for name in _BUILTIN.split()
    )
    return f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:tns="{namespace}" targetNamespace="{namespace}">
      <xs:attribute name="arrayType" type="xs:string"/><xs:attribute name="offset" type="xs:string"/>
      <xs:attribute name="position" type="xs:string"/><xs:attribute name="root" type="xs:boolean"/>
      <xs:attribute name="itemType" type="xs:string"/><xs:attribute name="arraySize" type="xs:string"/>
      <xs:attributeGroup name="common">
        <xs:attribute name="id" type="xs:string"/><xs:attribute name="href" type="xs:anyURI"/>
        <xs:anyAttribute namespace="##other" processContents="lax"/></xs:attributeGroup>
      <xs:attributeGroup name="commonAttributes">{common}</xs:attributeGroup>
      <xs:attributeGroup name="arrayAttributes">
        <xs:attribute ref="tns:arrayType"/><xs:attribute ref="tns:offset"/></xs:attributeGroup>
      <xs:group name="Array">{items}</xs:group><xs:group name="Struct">{items}</xs:group>
      <xs:complexType name="Array"><xs:group ref="tns:Array" minOccurs="0"/>
        <xs:attributeGroup ref="tns:arrayAttributes"/>{common}</xs:complexType>
      <xs:complexType name="Struct"><xs:group ref="tns:Struct" minOccurs="0"/>{common}</xs:complexType>
      <xs:element name="Array" type="tns:Array"/><xs:element name="Struct" type="tns:Struct"/>
      <xs:simpleType name="base64"><xs:restriction base="xs:base64Binary"/></xs:simpleType>{simple}
    </xs:schema>""".encode()


_XML = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://www.w3.org/XML/1998/namespace">
  <xs:attribute name="lang" type="xs:string"/><xs:attribute name="space" type="xs:string"/>
  <xs:attribute name="base" type="xs:anyURI"/><xs:attribute name="id" type="xs:ID"/>
  <xs:attributeGroup name="specialAttrs"><xs:attribute ref="xml:base"/><xs:attribute ref="xml:lang"/>
    <xs:attribute ref="xml:space"/></xs:attributeGroup></xs:schema>"""


_XMLMIME = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:m="http://www.w3.org/2005/05/xmlmime"
    targetNamespace="http://www.w3.org/2005/05/xmlmime">
  <xs:attribute name="contentType" type="xs:string"/><xs:attribute name="expectedContentTypes" type="xs:string"/>
  <xs:complexType name="base64Binary"><xs:simpleContent><xs:extension base="xs:base64Binary">
    <xs:attribute ref="m:contentType"/></xs:extension></xs:simpleContent></xs:complexType>
  <xs:complexType name="hexBinary"><xs:simpleContent><xs:extension base="xs:hexBinary">
    <xs:attribute ref="m:contentType"/></xs:extension></xs:simpleContent></xs:complexType></xs:schema>"""


def _addressing() -> bytes:
    """WS-Addressing 1.0: endpoint references, and the headers that are addresses or relate to a message."""
    opened = '<xs:sequence><xs:any namespace="##any" processContents="lax" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>'
    bags = ("ReferenceParametersType", "MetadataType")
    uris = ("AttributedURIType", "RelatesToType")
    elements = dict.fromkeys(("EndpointReference", "From", "ReplyTo", "FaultTo"), "EndpointReferenceType")
    elements |= dict.fromkeys(("To", "Action", "MessageID"), "AttributedURIType")
    elements |= {name: f"{name}Type" for name in ("ReferenceParameters", "Metadata", "RelatesTo")}
    any_attribute = '<xs:anyAttribute namespace="##other" processContents="lax"/>'
    return "".join(
        (
            '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:a="http://www.w3.org/2005/08/addressing" '
            'targetNamespace="http://www.w3.org/2005/08/addressing" elementFormDefault="qualified">',
            *(f'<xs:element name="{name}" type="a:{type_}"/>' for name, type_ in elements.items()),
            *(f'<xs:complexType name="{name}">{opened}{any_attribute}</xs:complexType>' for name in bags),
            *(
                f'<xs:complexType name="{name}"><xs:simpleContent><xs:extension base="xs:anyURI">'
                f'<xs:attribute name="RelationshipType" type="xs:anyURI"/>{any_attribute}</xs:extension></xs:simpleContent>'
                "</xs:complexType>"
                for name in uris
            ),
            '<xs:complexType name="EndpointReferenceType"><xs:sequence><xs:element name="Address" type="a:AttributedURIType"/>'
            '<xs:element ref="a:ReferenceParameters" minOccurs="0"/><xs:element ref="a:Metadata" minOccurs="0"/>'
            '<xs:any namespace="##other" processContents="lax" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>',
            f"{any_attribute}</xs:complexType></xs:schema>",
        )
    ).encode()


def _envelope(namespace: str) -> bytes:
    """Envelopes: what a schema may refer to, open to anything."""
    elements = "".join(f'<xs:element name="{name}" type="xs:anyType"/>' for name in ("Envelope", "Header", "Body", "Fault"))
    attributes = "".join(f'<xs:attribute name="{name}" type="xs:string"/>' for name in ("mustUnderstand", "encodingStyle"))
    opened = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="{namespace}">'
    return f"{opened}{elements}{attributes}</xs:schema>".encode()


def well_known(url: str) -> bytes | None:
    """The schema at a well-known address (http or https, with or without a slash at its end), or None."""
    return _SCHEMAS.get(url.partition("://")[2].rstrip("/"))


_SCHEMAS = {
    "schemas.xmlsoap.org/soap/encoding": _soap_encoding(ENCODING_11),
    "www.w3.org/2003/05/soap-encoding": _soap_encoding(ENCODING_12),
    "schemas.xmlsoap.org/soap/envelope": _envelope(SOAP_11),
    "www.w3.org/2003/05/soap-envelope": _envelope(SOAP_12),
    "www.w3.org/2001/xml.xsd": _XML,
    "www.w3.org/XML/1998/namespace": _XML,
    "www.w3.org/2005/05/xmlmime": _XMLMIME,
    "www.w3.org/2005/08/addressing": _addressing(),
    "www.w3.org/2005/08/addressing/ws-addr.xsd": _addressing(),
    "www.w3.org/2006/03/addressing/ws-addr.xsd": _addressing(),
}
