"""Sets the stage: cluster, images, chart, secrets and months of flights, each only if missing."""

from pathlib import Path

import obstore

from tests.cluster import gobuild, images, target
from tests.demo import flights, samples
from tests.demo.console import Narrator
from tests.demo.corruption import corrupted_month
from tests.demo.install import IMAGES, NAMESPACE, ROOT, S3, image, install_chart
from tests.demo.kubectl import Kubectl
from tests.demo.story import Story


def build_images(cluster: target.Cluster) -> None:
    """Build the project's three images and put them into the cluster."""
    for name, inputs in IMAGES.items():
        images.build_image(
            ROOT / "operator" / "Dockerfile",
            name,
            image(name),
            ROOT,
            {"BASE": images.PYTHON_BASE},
            inputs=inputs,
        )
        cluster.load(image(name))


def clear(kubectl: Kubectl, s3: S3) -> None:
    """Forget what an earlier telling has left: the story begins with nothing."""
    for kind in ("md", "tj", "datasets", "pex", "mv", "dsv"):
        kubectl.run("delete", kind, "--all", "--wait=true", "--timeout=120s", check=False)
    tides = s3.bucket("tides")
    paths = [item["path"] for page in obstore.list(tides) for item in page]
    if paths:
        obstore.delete(tides, paths)


def set_stage(out: Narrator, scratch: Path, kubeconfig: str = "", context: str = "") -> Story:
    """Make everything ready for the first chapter."""
    out.chapter("The stage: a cluster with a gateway, Prometheus and an S3 server")
    cluster = target.pick(context, Path(kubeconfig) if kubeconfig else None)
    ends = cluster.endpoints
    out.say(f"gateway {ends.gateway}, S3 {ends.s3_endpoint}, Prometheus {ends.prometheus}")
    out.chapter("Tidemill's own images and chart")
    build_images(cluster)
    s3 = S3(ends.s3_endpoint, ends.s3_access_key, ends.s3_secret_key)
    kubectl = Kubectl(
        str(gobuild.ensure("kubectl")), str(cluster.kubeconfig), NAMESPACE, cluster.context
    )
    build = images.image_id(image("operator"))[-12:]
    install_chart(out, kubectl, str(gobuild.ensure("helm")), s3, ends.prometheus, f"b{build}")
    clear(kubectl, s3)
    with out.working("flights of 2013, month by month"):
        months = flights.write_months(scratch)
        bad = corrupted_month(months["2013-12"], scratch / "corrupted")
    host = samples.read()["ModelDeployment"]["spec"]["route"]["hostnames"][0]
    return Story(
        out=out,
        kubectl=kubectl,
        tides=s3.bucket("tides"),
        artifacts=s3.bucket("artifacts"),
        months={**months, "2014-01-corrupted": bad},
        gateway=ends.gateway,
        host=host,
    )
