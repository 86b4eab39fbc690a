"""The Kubernetes manifests: valid, and with no more privileges than their comments speak of."""

import copy
import functools
import os
import subprocess
import tempfile
import unittest

import yaml
from kubernetes_validate import ValidationError, validate

FOLDER = "deploy/kubernetes"
VARIANTS = ["build", "contrast", "init-container", "unprivileged", "workload"]
# The oldest Kubernetes that has native sidecars by default, and the newest with a schema here.
VERSIONS = ["1.29", "1.37"]


@functools.cache
def rendered(variant):
    """What `kubectl apply -k` would send."""
    command = [os.environ["KUBECTL"], "kustomize", f"{FOLDER}/{variant}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def render(variant):
    """The objects of it, which the caller may change."""
    return list(yaml.safe_load_all(rendered(variant)))


def object_of(variant, kind):
    """The only object of a kind."""
    (found,) = [entry for entry in render(variant) if entry["kind"] == kind]
    return found


def pod_of(variant):
    """The specification of the only pod."""
    (workload,) = [entry for entry in render(variant) if entry["kind"] in ("Deployment", "Job")]
    return workload["spec"]["template"]["spec"]


def containers_of(pod):
    """All containers of a pod."""
    return pod.get("initContainers", []) + pod["containers"]


def mounter_of(variant):
    """The container that mounts the disk, or copies it."""
    (mounter,) = [entry for entry in containers_of(pod_of(variant)) if entry["name"] == "disk-mounter"]
    return mounter


def unmounter_of(variant):
    """What lets the kubelet unmount the disk, or None."""
    found = [entry for entry in containers_of(pod_of(variant)) if entry["name"] == "unmount-at-end"]
    return found[0] if found else None


def excesses(pod):
    """The privileges and inputs of a pod that it should not have."""
    if pod.get("automountServiceAccountToken", True):
        yield "the pod has a token"
    for field in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.get(field):
            yield f"the pod has {field}"
    for volume in pod["volumes"]:
        if not volume.keys() & {"emptyDir", "persistentVolumeClaim"}:
            yield f"{volume['name']} is no claim and no empty folder"
    for container in containers_of(pod):
        name = container["name"]
        context = pod.get("securityContext", {}) | container.get("securityContext", {})
        if not context.get("readOnlyRootFilesystem"):
            yield f"{name} can write its root filesystem"
        if container.keys() & {"env", "envFrom", "command"}:
            yield f"{name} has other input than its arguments"
        if name == "disk-mounter" and context.get("privileged"):
            continue
        if context.get("privileged") or context.get("allowPrivilegeEscalation", True):
            yield f"{name} is privileged"
        if not context.get("runAsNonRoot"):
            yield f"{name} may be root"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} has capabilities"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} may use any system call"
        for mount in container.get("volumeMounts", []):
            if mount.get("mountPropagation") == "Bidirectional":
                yield f"{name} passes mounts out"


class Validity(unittest.TestCase):
    """Valid for Kubernetes, unknown fields being errors."""

    def test_no_variant_is_left_out(self):
        self.assertEqual(sorted(os.listdir(FOLDER)), VARIANTS)

    def test_each_variant_is_valid(self):
        for variant in VARIANTS:
            for version in VERSIONS:
                for entry in render(variant):
                    with self.subTest(variant=variant, version=version, kind=entry["kind"]):
                        self.assertEqual(validate(entry, version, strict=True), version)

    def refused(self, entry, version, word):
        """Asserts that an object is refused because of a word."""
        with self.assertRaises(ValidationError) as raised:
            validate(entry, version, strict=True)
        self.assertIn(word, raised.exception.message)

    def test_broken_manifests_are_refused(self):
        deployment = object_of("workload", "Deployment")
        for version in VERSIONS:
            broken = copy.deepcopy(deployment)
            broken["spec"]["replicas"] = "one"
            self.refused(broken, version, "'one' is not of type")
            broken = copy.deepcopy(deployment)
            sidecar = broken["spec"]["template"]["spec"]["initContainers"][1]
            sidecar["restartPolicies"] = sidecar.pop("restartPolicy")
            self.refused(broken, version, "restartPolicies")
            broken = copy.deepcopy(deployment)
            del broken["spec"]["selector"]
            self.refused(broken, version, "'selector' is a required property")

    def test_a_kubernetes_without_native_sidecars_refuses_the_sidecar(self):
        self.refused(object_of("workload", "Deployment"), "1.27", "restartPolicy")
        validate(object_of("init-container", "Deployment"), "1.27", strict=True)


class Privileges(unittest.TestCase):
    """As few as can be."""

    def test_no_pod_has_more_than_it_needs(self):
        for variant in VARIANTS:
            self.assertEqual(list(excesses(pod_of(variant))), [], variant)

    def test_an_excess_is_found(self):
        for change, complaint in [
            (lambda pod: pod.pop("automountServiceAccountToken"), "token"),
            (lambda pod: pod.update(hostPID=True), "hostPID"),
            (lambda pod: pod["volumes"].append({"name": "x", "hostPath": {}}), "x is no claim"),
            (lambda pod: pod["initContainers"][1].update(env=[]), "other input"),
            (lambda pod: pod["initContainers"][1].pop("securityContext"), "root filesystem"),
            (lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"), "capabilities"),
            (lambda pod: pod["containers"][0]["securityContext"].update(privileged=True), "privileged"),
        ]:
            pod = pod_of("workload")
            change(pod)
            self.assertIn(complaint, "\n".join(excesses(pod)))

    def test_building_a_disk_needs_no_privilege(self):
        names = [entry["name"] for entry in containers_of(pod_of("build"))]
        self.assertEqual(names, ["disk-builder"])

    def test_copying_a_disk_needs_no_privilege(self):
        for container in containers_of(pod_of("unprivileged")):
            self.assertNotIn("privileged", container["securityContext"])
        pod = pod_of("unprivileged")
        del pod["initContainers"][0]["securityContext"]["runAsNonRoot"]
        self.assertEqual(list(excesses(pod)), ["disk-mounter may be root"])

    def test_the_disk_is_a_raw_device_that_is_only_read(self):
        for variant in ["workload", "init-container", "contrast", "unprivileged"]:
            claim = object_of(variant, "PersistentVolumeClaim")
            self.assertEqual(claim["spec"]["volumeMode"], "Block")
            self.assertEqual(claim["spec"]["accessModes"], ["ReadOnlyMany"])
            (volume,) = [entry for entry in pod_of(variant)["volumes"] if entry["name"] == "model-disk"]
            source = {"claimName": claim["metadata"]["name"], "readOnly": True}
            self.assertEqual(volume["persistentVolumeClaim"], source)


class Mounting(unittest.TestCase):
    """How the mount comes to the workload."""

    def test_the_mount_goes_from_the_mounter_to_the_workload_and_nowhere_else(self):
        for variant in ["workload", "init-container", "contrast"]:
            shared = {"name": "model", "mountPath": "/mnt/model"}
            self.assertEqual(
                mounter_of(variant)["volumeMounts"],
                [shared | {"mountPropagation": "Bidirectional"}],
            )
            (workload,) = pod_of(variant)["containers"]
            self.assertEqual(
                workload["volumeMounts"],
                [shared | {"mountPropagation": "HostToContainer", "readOnly": True}],
            )

    def test_the_kubelet_unmounts_what_is_mounted_on_the_folder(self):
        for variant in ["workload", "init-container"]:
            # Before the disk is mounted there.
            names = [entry["name"] for entry in pod_of(variant)["initContainers"]]
            self.assertEqual(names, ["unmount-at-end", "disk-mounter"])
            unmounter, mounter = unmounter_of(variant), mounter_of(variant)
            self.assertEqual(unmounter["args"], ["--version"])
            # It ends, and is not started again: the kubelet would unmount the disk before.
            self.assertNotIn("restartPolicy", unmounter)
            (mount,) = unmounter["volumeMounts"]
            (shared,) = mounter["volumeMounts"]
            self.assertEqual(mount["name"], shared["name"])
            self.assertIn(f"{shared['mountPath']}/{mount['subPath']}", mounter["args"])
        # There the mount goes with the machine.
        self.assertIsNone(unmounter_of("contrast"))

    def test_the_arguments_name_the_root_hash_the_device_and_a_folder_in_the_volume(self):
        sidecar, mount = ("sidecar", ["--leave-mounted"]), ("mount", [])
        for variant, expected in {"workload": sidecar, "contrast": sidecar, "init-container": mount}.items():
            mounter = mounter_of(variant)
            given, option, root_hash, device, mount_point, *rest = mounter["args"]
            self.assertEqual(((given, rest), option), (expected, "--root-hash"))
            self.assertRegex(root_hash, "^[0-9a-f]{64}$")
            self.assertEqual([device], [entry["devicePath"] for entry in mounter["volumeDevices"]])
            self.assertEqual(os.path.dirname(mount_point), mounter["volumeMounts"][0]["mountPath"])

    def test_a_sidecar_is_probed(self):
        for variant in ["workload", "contrast"]:
            mounter = mounter_of(variant)
            self.assertEqual(mounter["restartPolicy"], "Always")
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
                _, option, root_hash, _, mount_point, *_ = mounter["args"]
                command = ["/bin/disk-mounter", "status", option, root_hash, mount_point]
                self.assertEqual(mounter[probe]["exec"], {"command": command})

    def test_an_init_container_ends(self):
        fields = {"restartPolicy", "startupProbe", "readinessProbe", "livenessProbe"}
        self.assertFalse(mounter_of("init-container").keys() & fields)
        self.assertIn("runtimeClassName", pod_of("init-container"))

    def test_a_copy_is_made_before_the_workload_starts_which_cannot_change_it(self):
        pod = pod_of("unprivileged")
        self.assertEqual([entry["name"] for entry in pod["initContainers"]], ["disk-mounter"])
        copier, (workload,) = mounter_of("unprivileged"), pod["containers"]
        fields = {"restartPolicy", "startupProbe", "readinessProbe", "livenessProbe"}
        self.assertFalse(copier.keys() & fields)
        given, option, root_hash, device, folder = copier["args"]
        self.assertEqual((given, option), ("extract", "--root-hash"))
        self.assertRegex(root_hash, "^[0-9a-f]{64}$")
        self.assertEqual([device], [entry["devicePath"] for entry in copier["volumeDevices"]])
        self.assertIn(f"--model={folder}", workload["args"])
        shared = {"name": "model", "mountPath": os.path.dirname(folder)}
        self.assertEqual(copier["volumeMounts"], [shared])
        self.assertEqual(workload["volumeMounts"], [shared | {"readOnly": True}])
        (volume,) = [entry for entry in pod["volumes"] if entry["name"] == "model"]
        self.assertEqual(volume["emptyDir"].keys(), {"sizeLimit"})
        self.assertIn("ephemeral-storage", copier["resources"]["requests"])

    def test_images_are_pinned(self):
        for variant in VARIANTS:
            for container in containers_of(pod_of(variant)):
                self.assertRegex(container["image"], r"^[a-z-]+@sha256:[0-9a-f]{64}$")


class Overlays(unittest.TestCase):
    """What deploy/README.md has for a `kustomization.yaml` of the user's own."""

    def rendered(self, variant):
        """What the overlay of a variant makes of it."""
        with open("deploy/README.md") as file:
            blocks = file.read().split("```yaml\n")[1:]
        (text,) = [block.split("```")[0] for block in blocks if f"kubernetes/{variant}\n" in block]
        with tempfile.TemporaryDirectory() as folder:
            # There are no absolute paths in it.
            text = text.replace("PATH", os.path.relpath(os.getcwd(), os.path.realpath(folder)))
            text = text.replace("sha256:…", "sha256:0").replace("…", "")
            with open(f"{folder}/kustomization.yaml", "w") as file:
                file.write(text)
            command = [os.environ["KUBECTL"], "kustomize", folder]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return {entry["kind"]: entry for entry in yaml.safe_load_all(done.stdout)}

    def test_the_root_hash_comes_to_each_place(self):
        deployment = self.rendered("workload")["Deployment"]
        mounter = deployment["spec"]["template"]["spec"]["initContainers"][1]
        given = [mounter["args"][2]]
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
            given.append(mounter[probe]["exec"]["command"][3])
        self.assertEqual(given, ["the root hash"] * 4)

    def test_a_disk_may_be_a_file(self):
        found = self.rendered("unprivileged")
        self.assertEqual(found["PersistentVolumeClaim"]["spec"]["volumeMode"], "Filesystem")
        validate(found["Deployment"], VERSIONS[0], strict=True)
        pod = found["Deployment"]["spec"]["template"]["spec"]
        self.assertNotIn("securityContext", pod)
        (copier,) = pod["initContainers"]
        self.assertNotIn("volumeDevices", copier)
        (_, disks) = copier["volumeMounts"]
        self.assertEqual((disks["name"], disks["readOnly"]), ("model-disk", True))
        self.assertEqual(copier["args"][3], f"{disks['mountPath']}/model.img")


class CommandLines(unittest.TestCase):
    """The programs understand what the manifests say to them.

    What a program does not understand is exit code 2. Here it is something that is not there (4):
    a disk, a model, a mount or, for the probes, which look there first, the kernel's device-mapper
    (6).
    """

    def assert_understood(self, program, arguments, path, codes=(4,)):
        """Runs a program, which must miss a path."""
        self.assertFalse(os.path.exists(path), f"{path} would be used by this test")
        done = subprocess.run([os.environ[program], *arguments], stderr=subprocess.PIPE, text=True)
        self.assertIn(done.returncode, codes, done.stderr)

    def test_the_mounter(self):
        waiting = {variant: ["--wait", "0"] for variant in ["workload", "contrast", "init-container"]}
        for variant, more in (waiting | {"unprivileged": []}).items():
            with self.subTest(variant=variant):
                arguments = mounter_of(variant)["args"] + more
                self.assert_understood("DISK_MOUNTER", arguments, "/dev/model")

    def test_what_ends_at_once(self):
        arguments = unmounter_of("workload")["args"]
        subprocess.run([os.environ["DISK_MOUNTER"], *arguments], check=True, stdout=subprocess.PIPE)

    def test_the_probes(self):
        for variant in ["workload", "contrast"]:
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"]:
                program, *arguments = mounter_of(variant)[probe]["exec"]["command"]
                self.assertEqual(program, "/bin/disk-mounter")
                self.assert_understood("DISK_MOUNTER", arguments, "/mnt/model/disk", (4, 6))

    def test_the_builder(self):
        (builder,) = containers_of(pod_of("build"))
        self.assert_understood("DISK_BUILDER", builder["args"], "/model")
