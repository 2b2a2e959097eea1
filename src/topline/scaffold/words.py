"""Which role a column may play in a sale, told by its name: words of some languages, the likelier ones first."""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import count

import yaml

_PLAIN = re.compile(r"[A-Za-z_/](?:[\w/.@?&=%+,~${}-]|:(?=[\w/.@$%]))*")  # nothing that YAML could take for more than text
_UMLAUT = re.compile(r"(?<=[aou])e")  # ae, oe, ue
_SPLIT = re.compile(r"[^0-9a-z]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# A name matches where it has all words of an entry. Later entries are weaker.
ROLES: Mapping[str, str] = {
    "date": (
        "sold at|sold on|sale date|sale time|order date|ordered at|ordered on|invoice date|invoiced at|purchase date|"
        "transaction date|booked at|sold|ordered|orderdate|verkauft|bestellt|vendita|vente|venta|date|datum|data|fecha|"
        "created at|created|timestamp|time|day|at"
    ),
    "amount": (
        "total amount|total price|totalprice|total|amount|net amount|gross amount|revenue|turnover|sales|umsatz|importo|betrag|"
        "montant|importe|totale|summe|net|gross|value|sum|price|preis|prezzo|prix|precio|cost"
    ),
    "quantity": "quantity|qty|units|count|menge|anzahl|stuck|quantita|cantidad|quantite|pieces",
    "unit_price": "unit price|unitprice|extendedprice|extended price|einzelpreis|price|prezzo|preis|precio|prix|amount",
    "discount": "discount|sconto|rabatt|remise|descuento",
    "city": "city name|city|town|municipality|citta|stadt|wohnort|ort|ville|ciudad|comune|plaats",
    "region": "region name|region|province|district|provincia|bundesland|regione|departement|state|county",
    "country": "country name|country code|country|nation|paese|land|pays|pais|nazione|staat",
    "salesman_id": (
        "salesman|salesperson|sales rep|sales person|seller|sales|support rep|rep|agent|employee|clerk|staff|cashier|"
        "operator|venditore|verkaufer|vertreter|mitarbeiter|vendeur|vendedor|user"
    ),
    "salesman_name": (
        "salesman name|salesperson name|seller name|employee name|agent name|full name|name|salesman|seller|employee|"
        "venditore|verkaufer|vertreter|mitarbeiter|vendeur|vendedor|last name|lastname"
    ),
    "first_name": "first name|firstname|given name|nome|vorname|prenom|nombre",
    "last_name": "last name|lastname|surname|family name|cognome|nachname|nom|apellido",
    "currency": "currency code|currency|valuta|wahrung|devise|moneda",
    "id": "sale id|order id|invoice id|transaction id|receipt id|id|number|no|nr|key|code",
}
_ENTRIES = {role: [_UMLAUT.sub("", entry).split() for entry in entries.split("|")] for role, entries in ROLES.items()}
_COMPOUND = 5  # from so many letters on, a word may be the end of another: `Verkaufsdatum`, `Gesamtbetrag`
_WEAKER = 40
# Names of tables whose keys are salesmen's, and of tables of sales.
_PEOPLE = (
    "salesman salesmen salesperson employee employees staff seller sellers agents mitarbeiter verkaufer vertreter venditori "
    "dipendenti vendeurs vendedores empleados"
)
_SALES = (
    "sale sales order orders invoice invoices transaction transactions receipts deals verkaufe verkauf bestellungen auftrage "
    "rechnungen vendite ordini fatture ventes commandes factures ventas pedidos facturas"
)
PEOPLE, SALES = frozenset(_PEOPLE.split()), frozenset(_SALES.split())
# Of a column, that it holds a number or code, not a name.
NUMBERED = frozenset(["id", "no", "nr", "num", "number", "nummer", "code", "key"])


def words(name: str) -> list[str]:
    """`SupportRepId` and `support_rep_id` are support, rep, id; accents are dropped."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", name)).encode("ascii", "ignore").decode().lower()
    return [word for word in _SPLIT.split(plain) if word]


def stems(name: str) -> set[str]:
    """The words of a name, however its umlauts are written: `Verkäufer` and `verkaeufer` are one."""
    return {_UMLAUT.sub("", word) for word in words(name)}


def rank(role: str, name: str) -> int | None:
    """How well a name fits a role: 0 is best; None where it does not."""
    found = stems(name)
    fits = [(place * 4 + min(3, len(found) - len(entry)), entry) for place, entry in enumerate(_ENTRIES[role])]
    whole = [place for place, entry in fits if all(word in found for word in entry)]
    ends = [place + _WEAKER for place, entry in fits if all(_ends(word, found) for word in entry)]
    return min(whole + ends, default=None)


def _ends(word: str, found: set[str]) -> bool:
    return len(word) >= _COMPOUND and any(one.endswith(word) for one in found)


def identifiers(names: Sequence[str]) -> list[str]:
    """The identifier of each, no two alike: of names in other scripts, of which nothing is left, the second gets a number."""
    found: dict[str, None] = {}
    for name in names:
        plain = identifier(name)
        numbered = (plain if number == 1 else f"{plain}_{number}" for number in count(1))
        found[next(one for one in numbered if one not in found)] = None
    return list(found)


def scalar(value: str) -> str:
    """A text as a YAML scalar of one line."""
    return value if _PLAIN.fullmatch(value) and yaml.safe_load(value) == value else json.dumps(value, ensure_ascii=False)


def identifier(name: str) -> str:
    """A name that SQL, YAML and file names take as it is: lower case, digits, underscores."""
    plain = "_".join(words(name)) or "column"
    return plain if plain[0].isalpha() else f"c_{plain}"
