"""A typed client of the REST API.

    with Client("http://127.0.0.1:8787") as topline:
        for page in topline.pages(topline.sales_by_city(date=date(2026, 11, 21))):
            for city in page.cities:
                print(city.rank, city.city, Decimal(city.total_sales))

Answers are the models of `topline.answers`; money is text, to be read as a decimal. A problem is raised as `Refused`.
"""

from topline.client.client import Client
from topline.client.refused import Refused

__all__ = ["Client", "Refused"]
