"""What the suite asks of an engine that reads topics."""

from typing import Protocol

from tests.cluster.engines.company import Company


class Engine(Protocol):
    """`start` may come before there is anything to read; `settle` returns once all that the topics hold is in the results."""

    def start(self, company: Company) -> None: ...
    def settle(self, company: Company) -> None: ...
    def stop(self, company: Company) -> None: ...


class FlinkEngine:
    def start(self, company: Company) -> None:
        company.project.json("flink", "deploy", "--no-wait", env=company.env)

    def settle(self, company: Company) -> None:
        found = company.project.json("flink", "deploy", "--timeout", "240", env=company.env)
        assert found["drained"]
        assert found["shown"]

    def stop(self, company: Company) -> None:
        company.project.json("flink", "stop", env=company.env)


class LiveEngine:
    """Starts anew each time, from where its log stands."""

    def start(self, company: Company) -> None:
        pass

    def settle(self, company: Company) -> None:
        company.project.run("run", "--until-idle", env=company.env)

    def stop(self, company: Company) -> None:
        pass


class SparkEngine:
    """A batch each time."""

    def start(self, company: Company) -> None:
        pass

    def settle(self, company: Company) -> None:
        company.project.json("run", "--engine", "spark", env=company.env)

    def stop(self, company: Company) -> None:
        pass
