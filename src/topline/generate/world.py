"""The company that the sales are made up for: places whose names repeat, people, products, all skewed as in life."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from random import Random
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

SALESMEN = 40
CUSTOMERS = 300


class Place(NamedTuple):
    country: str
    region: str
    city: str


# The order is the rank of the Zipf weights. A place without a region has ''.
PLACES = tuple(
    Place(*place.split("|"))
    for place in (
        "Italy|Lombardia|Milano",
        "Italy|Lazio|Roma",
        "United States|Illinois|Springfield",
        "Spain|Comunidad de Madrid|Madrid",
        "Germany|Hessen|Frankfurt",
        "Italy|Piemonte|Torino",
        "Brazil|São Paulo|São Paulo",
        "United States|Missouri|Springfield",
        "Italy|Campania|Napoli",
        "Japan|東京都|東京",
        "United States|California|Santa Cruz",
        "Germany|Bayern|München",
        "Spain|Andalucía|Córdoba",
        "Argentina|Córdoba|Córdoba",
        "Poland|Małopolskie|Kraków",
        "Portugal|Madeira|Santa Cruz",
        "Bolivia|Santa Cruz|Santa Cruz",
        "Switzerland|Zürich|Zürich",
        "Monaco||Monaco",
        "United States|Massachusetts|Springfield",
        "Greece|Αττική|Αθήνα",
        "Germany|Brandenburg|Frankfurt",
        "Spain|Comunidad Valenciana|Valencia",
        "Venezuela|Carabobo|Valencia",
        "Mexico|Guanajuato|León",
        "Spain|Castilla y León|León",
        "Italy|Piemonte|Samone",
        "Italy|Trentino-Alto Adige|Samone",
        "Singapore||Singapore",
        "United States|District of Columbia|Washington, D.C.",
        "Poland|Łódzkie|Łódź",
        "Türkiye|İstanbul|İstanbul",
        "Italy|Valle d'Aosta|Aosta",
        "Costa Rica|San José|San José",
        "United States|California|San Jose",
        "Luxembourg||Luxembourg",
    )
)

ZONES = {
    "Japan": "Asia/Tokyo",
    "Singapore": "Asia/Singapore",
    "United States": "America/Chicago",
    "Brazil": "America/Sao_Paulo",
    "Greece": "Europe/Athens",
    "Mexico": "America/Mexico_City",
}

_FIRST = """
    Giulia Marco Chiara Luca Zoë Jürgen Søren Ana María José Łukasz Agnieszka Γιώργος Ελένη 太郎 花子
    João Beatriz Ayşe Mehmet Noémie François Siobhán Björn Ingrid Nguyễn Olga Mateo Lucía Émile
""".split()  # noqa: SIM905 - names read better than quotes
_LAST = """
    Rossi Bianchi Müller Weiß García Núñez Kowalski Wójcik Παπαδόπουλος 山田 佐藤 Silva Conceição Yılmaz Şahin
    O'Neill Lefèvre D'Angelo Sjöberg Østergård Smith Fernández Esposito Čapek Dvořák Ferrari Brontë
""".split()  # noqa: SIM905
_SHOPS = ("Bottega", "Casa", "Haus", "Librería", "Emporio", "商店", "Sklep", "Loja", "Market", "Atelier")

_CATALOGUE = {
    "Coffee": ("Espresso beans:14.90", "Moka pot:32.00", "Grinder:129.00", "Filter papers:3.49"),
    "Kitchen": ("Chef's knife:79.50", "Cutting board:24.00", "Pasta machine:64.90", "Copper pan:149.00"),
    "Books": ("Atlas:39.00", "Cookbook:27.50", "Novel:12.99", "Notebook A5:6.20"),
    "Garden": ("Secateurs:34.95", "Olive tree:89.00", "Seeds:2.75", "Watering can:19.90"),
    "Electronics": ("Radio:59.00", "Headphones:199.00", "Desk lamp:45.00", "Bicycle computer:349.00"),
    "Bicycles": ("City bike:690.00", "Racing bike:2450.00", "Helmet:75.00", "Inner tube:7.90"),
}


class Product(NamedTuple):
    category: str
    name: str
    price: Decimal


class Person(NamedTuple):
    id: str
    name: str


class Customer(NamedTuple):
    id: str
    name: str
    place: Place


class Skewed(Generic[T]):
    """Draws from `items` by Zipf's law: the item at index i has the weight 1 / (i + 1) ** exponent."""

    def __init__(self, items: Sequence[T], exponent: float = 1.0) -> None:
        self.items = list(items)
        self._bounds = list(accumulate((i + 1) ** -exponent for i in range(len(items))))

    def draw(self, random: Random) -> T:
        return self.items[bisect(self._bounds, random.random() * self._bounds[-1])]

    def other(self, random: Random, than: T) -> T:
        """Another item than the one given, at random by the same weights."""
        while (found := self.draw(random)) == than:
            pass
        return found


def between(random: Random, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included; `randint` takes four times as long."""
    return low + int(random.random() * (high - low + 1))


@dataclass(frozen=True, slots=True)
class World:
    places: Skewed[Place]
    salesmen: Skewed[Person]
    customers: Skewed[Customer]
    products: Skewed[Product]


def make_world(seed: int) -> World:
    """The company of that seed: the same in all sources, a salesman being one person in all of them."""
    random = Random(f"world {seed}")
    places = Skewed(PLACES, 0.9)
    return World(
        places,
        Skewed(_salesmen(random), 0.8),
        Skewed([_customer(number, places, random) for number in range(1, CUSTOMERS + 1)], 0.9),
        Skewed(_products(random), 0.7),
    )


def full_name(random: Random) -> str:
    return f"{random.choice(_FIRST)} {random.choice(_LAST)}"


def shop_name(random: Random) -> str:
    return f"{random.choice(_SHOPS)} {random.choice(_LAST)}"


def _salesmen(random: Random) -> list[Person]:
    # Numbers of different length, so that the order by bytes is not the order by number.
    numbers = random.sample(range(3, 1200), SALESMEN)
    return [Person(str(number), full_name(random)) for number in numbers]


def _customer(number: int, places: Skewed[Place], random: Random) -> Customer:
    return Customer(f"C{number:04d}", shop_name(random), places.draw(random))


def _products(random: Random) -> list[Product]:
    entries = [(category, *entry.rsplit(":", 1)) for category, list_ in _CATALOGUE.items() for entry in list_]
    products = [Product(category, name, Decimal(price)) for category, name, price in entries]
    random.shuffle(products)
    return products
