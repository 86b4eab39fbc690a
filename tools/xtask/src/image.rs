//! The container image of a program, as an OCI archive, with buildah or docker, whichever is there.
//!
//! The same program gives the same image, to the byte: nothing of the machine, the user or the time
//! is in it. Its name stands beside it in the archive, so another name is no other image.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode, umask};
use serde_json::{Value, json};

use crate::{
    archive::tar,
    child::{bytes, command, is_on_path, run},
    date::{self, Date},
    files::{self, EXECUTABLE, READABLE, put, read},
    program::version,
    source,
};

/// Where an image is when nothing is said: a manifest's `image: disk-mounter` means that of it.
pub(crate) const REGISTRY: &str = "docker.io/library";

/// An image to be made.
struct Image<'a> {
    name: &'a str,
    version: String,
    /// What is in it.
    containerfile: String,
    date: Date,
    /// The folder to make it in: `context` is what goes into the image, `layout` what comes out.
    work: &'a Path,
}

/// Whether there is a docker that can build images.
pub(crate) fn docker_builds() -> bool {
    let works = |arguments: &[&str]| bytes(&mut command("docker", arguments)).is_ok();
    works(&["buildx", "version"]) && works(&["info"])
}

/// Builds the image of a program, as an archive in a folder, which names the image as one of a
/// registry; gives its name and digest.
pub(crate) fn image(folder: &Path, program: &Path, registry: &str) -> Result<String> {
    let name = program.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} names no program", program.display()))?;
    // Of what the other programs write, too.
    umask(Mode::from_bits_truncate(0o022));
    let work = files::work_folder(folder, &format!(".{name}."))?;
    let context = work.path().join("context");
    put(&context.join(name), EXECUTABLE, &read(program)?)?;
    let containerfile = source::root()?.join("deploy/Containerfile");
    let image = Image {
        name,
        version: version(&std::path::absolute(program)?, name)?,
        containerfile: containerfile.display().to_string(),
        date: Date::or_1970()?,
        work: work.path(),
    };
    if is_on_path("buildah") {
        image.with_buildah()?;
    } else if docker_builds() {
        image.with_docker()?;
    } else {
        bail!(
            "building an image takes buildah (as in Debian) or docker with buildx: neither is there"
        );
    }
    let layout = work.path().join("layout");
    let index = layout.join("index.json");
    let (digest, named) = named(&read(&index)?, registry, name, &image.version)?;
    put(&index, READABLE, &named)?;
    let archive = tar(&layout, ".", image.date)?;
    put(&folder.join(format!("{name}.oci.tar")), READABLE, &archive)?;
    Ok(format!("{name}@{digest}"))
}

impl Image<'_> {
    /// There is nothing to run in the image, so buildah needs no isolation, and with a storage of
    /// its own it leaves the user's images alone.
    fn with_buildah(&self) -> Result<()> {
        let mut build = self.buildah();
        build.args(["build", "--quiet", "--isolation", "chroot"]);
        build.args(["--format", "oci", "--timestamp", &self.date.epoch()]);
        build.args(["--omit-history", "--identity-label=false"]);
        self.describe(&mut build);
        build.args(["--tag", self.name]);
        run(build.arg(self.work.join("context")))?;
        let layout = format!("oci:{}:{}", self.work.join("layout").display(), self.name);
        run(self.buildah().args(["push", "--quiet", self.name, &layout]))
    }

    fn buildah(&self) -> Command {
        let mut buildah = command("buildah", ["--storage-driver", "vfs"]);
        buildah.arg("--root").arg(self.work.join("root"));
        buildah.arg("--runroot").arg(self.work.join("run"));
        buildah
    }

    /// No test tries this: it takes a docker daemon.
    fn with_docker(&self) -> Result<()> {
        let mut build = command("docker", ["buildx", "build", "--quiet", "--no-cache"]);
        build.args(["--provenance=false", "--sbom=false"]);
        self.describe(&mut build);
        let layout = self.work.join("layout");
        let output = format!(
            "type=oci,tar=false,dest={},name={},rewrite-timestamp=true",
            layout.display(),
            self.name
        );
        build.args(["--output", &output]);
        build.env(date::VARIABLE, self.date.epoch());
        run(build.arg(self.work.join("context")))
    }

    /// What both are told of it.
    fn describe(&self, build: &mut Command) {
        let version = format!("VERSION={}", self.version);
        build.args(["--build-arg", &version, "--target", self.name]);
        build.args(["--file", &self.containerfile]);
    }
}

/// The digest of the only image that an index lists, and the index with its full name, as
/// containerd looks for it, and its tag.
fn named(index: &[u8], registry: &str, name: &str, version: &str) -> Result<(String, Vec<u8>)> {
    let mut index: Value = serde_json::from_slice(index).context("the image's index is no JSON")?;
    let Some([image]) = index
        .get_mut("manifests")
        .and_then(Value::as_array_mut)
        .map(Vec::as_mut_slice)
    else {
        bail!("the image's index does not list one image");
    };
    let digest = image.get("digest").and_then(Value::as_str);
    let digest = digest
        .context("the image's index has no digest")?
        .to_owned();
    let image = image
        .as_object_mut()
        .context("the image's index lists no image")?;
    let annotations = json!({
        "io.containerd.image.name": format!("{registry}/{name}:{version}"),
        "org.opencontainers.image.ref.name": version,
    });
    image.insert("annotations".into(), annotations);
    Ok((digest, serde_json::to_vec(&index)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gets_the_name_of_its_image() {
        let index = br#"{"manifests": [{"digest": "sha256:ab", "size": 1}], "schemaVersion": 2}"#;
        let named = |index: &[u8]| named(index, "registry.example/weights", "program", "1.2.3");
        let (digest, index) = named(index).unwrap();
        assert_eq!(digest, "sha256:ab");
        let expected = json!({
            "manifests": [{
                "digest": "sha256:ab",
                "size": 1,
                "annotations": {
                    "io.containerd.image.name": "registry.example/weights/program:1.2.3",
                    "org.opencontainers.image.ref.name": "1.2.3",
                },
            }],
            "schemaVersion": 2,
        });
        assert_eq!(serde_json::from_slice::<Value>(&index).unwrap(), expected);
        for wrong in [
            r#"{"manifests": []}"#,
            r#"{"manifests": [{}, {}]}"#,
            r#"{"manifests": [1]}"#,
            "",
        ] {
            assert!(named(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
