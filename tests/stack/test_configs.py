"""Every file of `collector-config/` is accepted by the program it is for, and what it refers to is there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.backends import COUNTER, start_etl
from stack.conftest import Stack
from stack.programs import CONFIG, program, run, until

COLLECTORS = [
    ("collector.yaml",),
    ("collector.yaml", "sizes.yaml"),
    ("gateway.yaml",),
    ("sampling.yaml",),
    ("count.yaml",),
    ("keep.yaml",),
    ("replay.yaml",),
]
PARTS = ("receivers", "processors", "exporters", "connectors", "extensions")
KUBERNETES = ("gateway.yaml", "sampling.yaml", "counters.yaml")
SETTING = re.compile(r"\$\{env:(\w+):-")


def _documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _settings(*names: str) -> set[str]:
    return {setting for name in names for setting in SETTING.findall((CONFIG / name).read_text(encoding="utf-8"))}


@pytest.mark.parametrize("files", COLLECTORS, ids="+".join)
def test_the_collector_accepts_the_file_and_warns_of_nothing(files: tuple[str, ...]) -> None:
    arguments = [f"--config={CONFIG / name}" for name in files]
    assert run([program("otelcol-kcevents"), "validate", *arguments]) == ""


@pytest.mark.parametrize("files", COLLECTORS, ids="+".join)
def test_the_collector_starts_with_the_file_and_calls_nothing_in_it_deprecated(
    stack: Stack, files: tuple[str, ...]
) -> None:
    assert "deprecated" not in stack.collector(*files).program.log.read_text()


def test_jaeger_accepts_the_block_for_many_nodes(tmp_path: Path) -> None:
    text = (CONFIG / "jaeger.yaml").read_text(encoding="utf-8")
    memory, _, block = text.partition("        memory:")[2].partition("        # opensearch:")
    block, _, rest = block.partition("\n  jaeger_query:")
    opened = "        opensearch:" + block.replace("\n        # ", "\n        ")
    assert "max_traces" in memory
    (tmp_path / "jaeger.yaml").write_text(text.partition("        memory:")[0] + opened + "\n  jaeger_query:" + rest)
    run([program("jaeger"), "validate", f"--config={tmp_path / 'jaeger.yaml'}"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed; it renders the manifests")
def test_kubectl_renders_the_manifests() -> None:
    rendered = run(["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(CONFIG / "kubernetes")])
    kinds = [document["kind"] for document in yaml.safe_load_all(rendered)]
    assert sorted(kinds) == ["ConfigMap"] * 3 + ["Namespace"] + ["Service"] * 3 + ["StatefulSet"] * 3


@pytest.mark.parametrize("files", [("jaeger.yaml",), ("jaeger.yaml", "jaeger-badger.yaml")], ids="+".join)
def test_jaeger_accepts_the_file(files: tuple[str, ...]) -> None:
    run([program("jaeger"), "validate", *(f"--config={CONFIG / name}" for name in files)])


def test_prometheus_accepts_its_file() -> None:
    assert "SUCCESS" in run([program("promtool"), "check", "config", str(CONFIG / "prometheus.yml")])


def test_every_alert_fires_and_stays_quiet_in_the_rule_tests() -> None:
    assert "SUCCESS" in run([program("promtool"), "test", "rules", str(CONFIG / "alerts_test.yml")])
    (rules,) = _documents(CONFIG / "alerts.yml")
    (tests,) = _documents(CONFIG / "alerts_test.yml")
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    checks = [check for test in tests["tests"] for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == alerts
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == alerts


def test_the_collector_is_built_from_what_the_files_use() -> None:
    listed = yaml.safe_load(run([program("otelcol-kcevents"), "components"]))
    built = {str(one["name"]) for part in PARTS for one in listed[part]}
    used = set()
    for name in {name for files in COLLECTORS for name in files}:
        (config,) = _documents(CONFIG / name)
        for part in PARTS:
            used |= {component.partition("/")[0] for component in config.get(part, {})}
    assert used <= built
    assert built - used == {"debug", "otlp_http", "span_metrics"}


def test_every_file_says_at_its_top_what_it_is_for() -> None:
    files = [path for path in CONFIG.rglob("*.y*ml") if "grafana" not in path.parts and path.name != "namespace.yaml"]
    assert len(files) > 15
    assert [path.name for path in files if not path.read_text(encoding="utf-8").startswith("# ")] == []


def test_the_readme_names_every_file() -> None:
    readme = (CONFIG / "README.md").read_text(encoding="utf-8")
    names = {path.name for path in CONFIG.iterdir()} - {"README.md"}
    assert [name for name in sorted(names) if f"`{name}" not in readme and f"/{name}" not in readme] == []


def test_the_readme_names_every_setting_that_a_file_reads() -> None:
    readme = (CONFIG / "README.md").read_text(encoding="utf-8")
    settings = _settings(*(path.name for path in CONFIG.glob("*.yaml")))
    assert [name for name in sorted(settings) if f"`{name}`" not in readme] == []


def _services() -> dict[str, Any]:
    (compose,) = _documents(CONFIG / "docker-compose.yaml")
    services: dict[str, Any] = compose["services"]
    return services


def test_compose_mounts_files_that_are_there_and_sets_what_they_read() -> None:
    (compose,) = _documents(CONFIG / "docker-compose.yaml")
    files = {"collector": ("collector.yaml", "sizes.yaml"), "jaeger": ("jaeger.yaml", "jaeger-badger.yaml")}
    for name, service in _services().items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (CONFIG / source).exists() if source.startswith(".") else source in compose["volumes"]
        if name in files:
            told = {one for one in service["environment"] if not one.startswith("OTEL_")}
            assert told <= _settings(*files[name])


def test_compose_publishes_ports_on_loopback_alone() -> None:
    published = [port for service in _services().values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_sends_each_program_where_the_other_listens() -> None:
    services = _services()
    assert services["collector"]["environment"]["KCEVENTS_JAEGER"] == "jaeger:14317"
    assert services["jaeger"]["environment"]["JAEGER_OTLP_GRPC"].endswith(":14317")
    (compose,) = _documents(CONFIG / "docker-compose.yaml")
    (targets,) = yaml.safe_load(compose["configs"]["targets"]["content"])
    assert targets["targets"] == ["collector:8889", "collector:8888"]


@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_pods_have_what_they_name(name: str) -> None:
    service, workload = _documents(CONFIG / "kubernetes" / name)
    (kustomization,) = _documents(CONFIG / "kubernetes" / "kustomization.yaml")
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert labels == workload["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert workload["spec"]["serviceName"] == service["metadata"]["name"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in workload["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    generated = {one["name"]: one["files"] for one in kustomization["configMapGenerator"]}
    (file,) = generated[pod["volumes"][0]["configMap"]["name"]]
    assert container["args"] == [f"--config=/etc/kcevents/{Path(file).name}"]
    assert {setting["name"] for setting in container["env"]} <= _settings(Path(file).name)
    assert name in kustomization["resources"]


def test_kubernetes_gateways_know_every_sampler_by_its_name() -> None:
    _, gateway = _documents(CONFIG / "kubernetes" / "gateway.yaml")
    headless, sampling = _documents(CONFIG / "kubernetes" / "sampling.yaml")
    settings = {one["name"]: one["value"] for one in gateway["spec"]["template"]["spec"]["containers"][0]["env"]}
    names = [f"sampling-{number}.sampling.kcevents:5317" for number in range(sampling["spec"]["replicas"])]
    assert yaml.safe_load(settings["KCEVENTS_SAMPLERS"]) == names
    assert headless["spec"]["clusterIP"] == "None"


def test_kubernetes_has_one_collector_for_the_counters() -> None:
    _, counters = _documents(CONFIG / "kubernetes" / "counters.yaml")
    assert counters["spec"]["replicas"] == 1


def _panels() -> list[Any]:
    dashboard = json.loads((CONFIG / "grafana" / "dashboards" / "kcevents.json").read_text(encoding="utf-8"))
    panels: list[Any] = dashboard["panels"]
    return panels


def _expressions() -> Iterator[str]:
    for panel in _panels():
        for target in panel["targets"]:
            if "expr" in target:
                yield target["expr"]


def test_the_dashboards_data_sources_are_provisioned() -> None:
    (provisioned,) = _documents(CONFIG / "grafana" / "provisioning" / "datasources" / "datasources.yaml")
    sources = {(one["uid"], one["type"]) for one in provisioned["datasources"]}
    assert {(panel["datasource"]["uid"], panel["datasource"]["type"]) for panel in _panels()} == sources
    (providers,) = _documents(CONFIG / "grafana" / "provisioning" / "dashboards" / "dashboards.yaml")
    mounts = [mount.split(":")[1] for mount in _services()["grafana"]["volumes"]]
    assert providers["providers"][0]["options"]["path"] in mounts


def test_the_dashboard_asks_for_the_counter_the_recorded_rules_and_the_sizes_alone() -> None:
    (rules,) = _documents(CONFIG / "alerts.yml")
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    asked = {name for text in _expressions() for name in re.findall(r"\b(?:kubecost|kcevents)_[\w:]+", text)}
    assert asked <= {COUNTER, "kcevents_sets_by_size_total", *recorded}
    assert COUNTER in asked


def test_the_dashboards_queries_find_what_a_real_run_recorded(stack: Stack, tmp_path: Path) -> None:
    jaeger = stack.jaeger()
    collector = stack.collector("collector.yaml", "sizes.yaml", KCEVENTS_JAEGER=jaeger.otlp)
    prometheus = stack.prometheus(collector.exposed, collector.own)
    etl = start_etl(tmp_path, "etl", "--runs=30", endpoint=collector.grpc).finish()
    assert prometheus.settled("etl", etl.counts) == etl.counts
    sizes = "sum by (etl, event) (kcevents_sets_by_size_total)"
    sized = {kind: count for kind, count in etl.counts.items() if kind[1].endswith(("Saved", "Loaded", "Aggregated"))}
    until(lambda: prometheus.by_kind(sizes) == sized, f"the sizes of {sized}")
    for expression in _expressions():
        if "increase" not in expression:  # those are recorded once a minute; promtool's tests have them
            assert prometheus.query(expression.replace("$__range", "1h")), expression
