"""The files of `collector-config/`: the real programs accept them, and what they refer to exists."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.conftest import Stack
from stack.programs import CONFIG, path_of, run, wait_until

COLLECTORS = [
    ("collector.yaml",),
    ("collector.yaml", "sizes.yaml"),
    ("gateway.yaml",),
    ("sampling.yaml",),
    ("count.yaml",),
    ("keep.yaml",),
    ("replay.yaml",),
]
JAEGERS = [("jaeger.yaml",), ("jaeger.yaml", "jaeger-badger.yaml")]
PARTS = ("receivers", "processors", "exporters", "connectors", "extensions")
SETTING = re.compile(r"\$\{env:(\w+):-")


def _load_all(name: str) -> list[Any]:
    return list(yaml.safe_load_all((CONFIG / name).read_text(encoding="utf-8")))


def _load(name: str) -> Any:
    (document,) = _load_all(name)
    return document


def _settings(*names: str) -> set[str]:
    """Return the settings that files read from the environment."""
    return {setting for name in names for setting in SETTING.findall((CONFIG / name).read_text(encoding="utf-8"))}


def _config_options(*names: str) -> list[str]:
    return [f"--config={CONFIG / name}" for name in names]


@pytest.mark.parametrize("files", COLLECTORS, ids="+".join)
def test_collector_accepts_the_file_without_a_warning(files: tuple[str, ...]) -> None:
    assert run(path_of("otelcol-kcevents"), "validate", *_config_options(*files)) == ""


@pytest.mark.parametrize("files", COLLECTORS, ids="+".join)
def test_collector_starts_and_logs_no_deprecation(stack: Stack, files: tuple[str, ...]) -> None:
    assert "deprecated" not in stack.collector(*files).program.log.read_text()


@pytest.mark.parametrize("files", JAEGERS, ids="+".join)
def test_jaeger_accepts_the_file(files: tuple[str, ...]) -> None:
    run(path_of("jaeger"), "validate", *_config_options(*files))


def test_jaeger_accepts_the_opensearch_block(tmp_path: Path) -> None:
    before, _, rest = (CONFIG / "jaeger.yaml").read_text(encoding="utf-8").partition("        memory:")
    memory, _, rest = rest.partition("        # opensearch:")
    block, _, after = rest.partition("\n  jaeger_query:")
    assert "max_traces" in memory
    opensearch = "        opensearch:" + block.replace("\n        # ", "\n        ")
    (tmp_path / "jaeger.yaml").write_text(f"{before}{opensearch}\n  jaeger_query:{after}")
    run(path_of("jaeger"), "validate", f"--config={tmp_path / 'jaeger.yaml'}")


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders the manifests, is not installed")
def test_kubectl_renders_the_manifests() -> None:
    rendered = run("kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(CONFIG / "kubernetes"))
    kinds = [document["kind"] for document in yaml.safe_load_all(rendered)]
    assert sorted(kinds) == ["ConfigMap"] * 3 + ["Namespace"] + ["Service"] * 3 + ["StatefulSet"] * 3


def test_prometheus_accepts_its_file() -> None:
    assert "SUCCESS" in run(path_of("promtool"), "check", "config", str(CONFIG / "prometheus.yml"))


def test_each_alert_is_tested_to_fire_and_to_stay_quiet() -> None:
    assert "SUCCESS" in run(path_of("promtool"), "test", "rules", str(CONFIG / "alerts_test.yml"))
    groups, tests = _load("alerts.yml")["groups"], _load("alerts_test.yml")["tests"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    checks = [check for test in tests for check in test.get("alert_rule_test", ())]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == alerts
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == alerts


def test_alertmanager_example_and_readme_name_existing_alerts() -> None:
    alerts = {rule["alert"] for group in _load("alerts.yml")["groups"] for rule in group["rules"] if "alert" in rule}
    named = set(re.findall(r"Kcevents\w+", (CONFIG / "alertmanager.yml").read_text(encoding="utf-8")))
    assert named < alerts
    rows = re.findall(r"^\| `(Kcevents\w+)` \|", (CONFIG / "README.md").read_text(encoding="utf-8"), re.M)
    assert sorted(rows) == sorted(alerts)


def test_collector_is_built_from_what_the_files_use() -> None:
    listed = yaml.safe_load(run(path_of("otelcol-kcevents"), "components"))
    built = {str(component["name"]) for part in PARTS for component in listed[part]}
    configs = [_load(name) for name in {name for files in COLLECTORS for name in files}]
    used = {name.partition("/")[0] for config in configs for part in PARTS for name in config.get(part, {})}
    assert used <= built
    assert built - used == {"debug", "otlp_http", "span_metrics"}


def test_each_file_starts_with_a_comment() -> None:
    files = [path for path in CONFIG.rglob("*.y*ml") if "grafana" not in path.parts and path.name != "namespace.yaml"]
    assert len(files) > 15
    assert [path.name for path in files if not path.read_text(encoding="utf-8").startswith("# ")] == []


def test_readme_names_every_file_and_setting() -> None:
    readme = (CONFIG / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in CONFIG.iterdir()} - {"README.md"}
    assert [name for name in sorted(files) if f"`{name}" not in readme and f"/{name}" not in readme] == []
    settings = _settings(*(path.name for path in CONFIG.glob("*.yaml")))
    assert [name for name in sorted(settings) if f"`{name}`" not in readme] == []


@pytest.fixture
def compose() -> Any:
    """The content of docker-compose.yaml."""
    return _load("docker-compose.yaml")


def test_compose_mounts_what_exists_and_sets_what_is_read(compose: Any) -> None:
    files = {"collector": ("collector.yaml", "sizes.yaml"), "jaeger": ("jaeger.yaml", "jaeger-badger.yaml")}
    for name, service in compose["services"].items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (CONFIG / source).exists() if source.startswith(".") else source in compose["volumes"]
        if name in files:
            settings = {setting for setting in service["environment"] if not setting.startswith("OTEL_")}
            assert settings <= _settings(*files[name])


def test_compose_publishes_ports_on_loopback_only(compose: Any) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_connects_the_programs(compose: Any) -> None:
    services = compose["services"]
    assert services["collector"]["environment"]["KCEVENTS_JAEGER"] == "jaeger:14317"
    assert services["jaeger"]["environment"]["JAEGER_OTLP_GRPC"].endswith(":14317")
    (targets,) = yaml.safe_load(compose["configs"]["targets"]["content"])
    assert targets["targets"] == ["collector:8889", "collector:8888"]


@pytest.mark.parametrize("name", ["gateway.yaml", "sampling.yaml", "counters.yaml"])
def test_kubernetes_manifests_agree_on_names(name: str) -> None:
    service, workload = _load_all(f"kubernetes/{name}")
    kustomization = _load("kubernetes/kustomization.yaml")
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


def test_kubernetes_gateways_list_every_sampler() -> None:
    _, gateway = _load_all("kubernetes/gateway.yaml")
    headless, sampling = _load_all("kubernetes/sampling.yaml")
    settings = {one["name"]: one["value"] for one in gateway["spec"]["template"]["spec"]["containers"][0]["env"]}
    names = [f"sampling-{number}.sampling.kcevents:5317" for number in range(sampling["spec"]["replicas"])]
    assert yaml.safe_load(settings["KCEVENTS_SAMPLERS"]) == names
    assert headless["spec"]["clusterIP"] == "None"


def test_kubernetes_runs_one_collector_for_the_counters() -> None:
    _, counters = _load_all("kubernetes/counters.yaml")
    assert counters["spec"]["replicas"] == 1


@pytest.fixture
def panels() -> Any:
    """The panels of the dashboard."""
    return json.loads((CONFIG / "grafana/dashboards/kcevents.json").read_text(encoding="utf-8"))["panels"]


def test_grafana_provisions_the_data_sources(panels: Any, compose: Any) -> None:
    provisioned = _load("grafana/provisioning/datasources/datasources.yaml")["datasources"]
    sources = {(source["uid"], source["type"]) for source in provisioned}
    assert {(panel["datasource"]["uid"], panel["datasource"]["type"]) for panel in panels} == sources
    providers = _load("grafana/provisioning/dashboards/dashboards.yaml")["providers"]
    mounts = [mount.split(":")[1] for mount in compose["services"]["grafana"]["volumes"]]
    assert providers[0]["options"]["path"] in mounts


def test_dashboard_shows_coverage_without_painting_over_gaps(panels: Any) -> None:
    """A state timeline would show the last state wherever there is no data."""
    types = {panel["type"] for panel in panels}
    assert "status-history" in types
    assert "state-timeline" not in types


def test_sets_are_counted_by_size(stack: Stack) -> None:
    collector = stack.collector("collector.yaml", "sizes.yaml")
    prometheus = stack.prometheus(collector.exposed, collector.own)
    etl = stack.etl("etl", "--runs=30", endpoint=collector.grpc).finish()
    sizes = "sum by (etl, event) (kcevents_sets_by_size_total)"
    sized = {kind: count for kind, count in etl.counts.items() if kind[1].endswith(("Saved", "Loaded", "Aggregated"))}
    wait_until(lambda: prometheus.by_kind(sizes) == sized, f"the sizes of {sized}")
