"""A WSDL, loaded once: its port, its operations, the shapes of their messages; and calls of them, by zeep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import zeep
from lxml import etree
from zeep.exceptions import Error as ZeepError
from zeep.proxy import ServiceProxy
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding

from topline.errors import SourceHalted
from topline.sources.soap.documents import Request, Transport, named
from topline.sources.soap.headers import soap_headers
from topline.sources.soap.http import Http, Reply
from topline.sources.soap.settings import SoapSettings
from topline.sources.soap.shapes import Shape, Shapes
from topline.sources.soap.token import Token
from topline.sources.web.addresses import Url

# What zeep is known to raise on a WSDL, or on arguments, that are not as it expects them.
_ZEEP_FAULTS = (
    ZeepError,
    etree.LxmlError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    NotImplementedError,
    AssertionError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the port. `takes` and `gives`: shapes of its request's and its answer's element; None: it has none.

    answer   local name of the answer's element where it is known (document style)
    wrapped  the answer's parts stand side by side in the body, which then is their element
    rpc      its answer may hold references of SOAP encoding
    """

    name: str
    takes: Shape | None
    gives: Shape | None
    answer: str
    wrapped: bool
    rpc: bool


class Port(NamedTuple):
    """A port, or of a WSDL without a service a binding, which has no address of its own."""

    name: str
    binding: Any
    address: str


class Wsdl:
    """Raises TransientError where a document cannot be reached, SourceHalted where it does not serve, saying what is there."""

    def __init__(self, settings: SoapSettings, root: Path, http: Http) -> None:
        self._settings, self._http = settings, http
        location = settings.wsdl if "://" in settings.wsdl else str((root / settings.wsdl).resolve())
        options = zeep.Settings(raw_response=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False)
        token = Token(settings.username_token) if settings.username_token else None
        try:
            transport = Transport(http, settings)
            self._client: Any = zeep.Client(location, wsse=token, transport=transport, settings=options)  # type: ignore[no-untyped-call]
        except _ZEEP_FAULTS as error:
            raise SourceHalted(f"the WSDL {named(location)} cannot be read: {_reason(error)}") from None
        self.shapes = Shapes(self._client.wsdl.types)
        self._port = self._choose_port()
        self.address = settings.address or self._port.address
        try:
            Url.parse(self.address)
        except ValueError as error:
            raise SourceHalted(f"the port {self._port.name} cannot be asked: {error}: write `address`") from None
        self._proxy = ServiceProxy(self._client, self._port.binding, address=self.address)  # type: ignore[no-untyped-call]

    @property
    def operations(self) -> tuple[str, ...]:
        return tuple(sorted(self._port.binding.all()))

    def operation(self, name: str) -> Operation:
        """SourceHalted lists the operations that there are."""
        found = self._port.binding.all().get(name)
        if found is None:
            raise SourceHalted(f"the port {self._port.name} has no operation {name!r}; it has {', '.join(self.operations)}")
        takes: Any = found.input.body if found.input is not None else None
        gives: Any = found.output.body if found.output is not None else None
        wrapped = gives is not None and bool(found.output._is_body_wrapped)
        document = gives is not None and found.style == "document" and not wrapped
        return Operation(
            name,
            None if takes is None else self.shapes.of(takes.type),
            None if gives is None else self.shapes.of(gives.type),
            str(gives.name) if document else "",
            wrapped,
            found.style == "rpc",
        )

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Reply:
        """Ask once. SourceHalted where the arguments do not fit the operation."""
        binding = self._port.binding
        try:
            headers = soap_headers(self._settings.soap_headers, binding.get(operation), self._client.wsdl.types)
            values = typed(arguments, self._client.wsdl.types)
            request = cast("Request", self._proxy[operation](**values, _soapheaders=headers or None))
        except _ZEEP_FAULTS as error:
            raise SourceHalted(f"the arguments do not fit {operation}: {_reason(error)}") from None
        return self._http.post(*request)

    def _choose_port(self) -> Port:
        services = {name: ports for name, ports in self._services() if ports}
        if not services:
            raise SourceHalted("the WSDL has no port for SOAP over HTTP")
        wanted = self._settings.service
        if wanted is None and len(services) > 1:
            raise SourceHalted(f"the WSDL has several services: write `service`, one of {', '.join(services)}")
        if wanted is not None and wanted not in services:
            raise SourceHalted(f"the WSDL has no service {wanted!r} for SOAP; it has {', '.join(services) or 'none'}")
        ports = next(iter(services.values())) if wanted is None else services[wanted]
        name = self._settings.port
        if name is not None and name not in ports:
            raise SourceHalted(f"the service has no port {name!r} for SOAP; it has {', '.join(ports)}")
        return next(iter(ports.values())) if name is None else ports[name]

    def _services(self) -> Iterator[tuple[str, dict[str, Port]]]:
        """Those of the WSDL, or else of the WSDLs that it imports; or else the bindings, for an `address` of one's own."""
        document = self._client.wsdl
        definitions = [document] if document.services else list(document._definitions.values())
        found = {name: _soap_ports(service) for definition in definitions for name, service in definition.services.items()}
        if found or not self._settings.address:
            yield from found.items()
            return
        bindings = [binding for definition in definitions for binding in definition.bindings.values() if _is_soap(binding)]
        yield "", {binding.name.localname: Port(binding.name.localname, binding, "") for binding in bindings}


def _soap_ports(service: Any) -> dict[str, Port]:
    ports = {name: port for name, port in service.ports.items() if _is_soap(port.binding)}
    return {name: Port(name, port.binding, (port.binding_options or {}).get("address") or "") for name, port in ports.items()}


def _is_soap(binding: Any) -> bool:
    return isinstance(binding, Soap11Binding | Soap12Binding)


def _reason(error: Exception) -> str:
    """zeep's own words; of an error that it did not mean, what it is."""
    text = str(error).strip().split("\n")[0]
    return text if text and isinstance(error, ZeepError | TypeError) else f"zeep fails with {type(error).__name__}: {text}"


def typed(arguments: Any, schema: Any) -> Any:
    """Arguments as zeep takes them. A mapping with `xsi:type` becomes a value of that type (`xsd:string`, `{namespace}Name`);
    the text of a simple one stands under `#text`."""
    if isinstance(arguments, dict):
        values = {name: typed(value, schema) for name, value in arguments.items() if name != "xsi:type"}
        if "xsi:type" not in arguments:
            return values
        type_ = schema.get_type(str(arguments["xsi:type"]))
        if "#text" in values:
            return zeep.xsd.AnyObject(type_, values["#text"])  # type: ignore[no-untyped-call]
        return type_(**values)
    if isinstance(arguments, list | tuple):
        return [typed(value, schema) for value in arguments]
    return arguments
