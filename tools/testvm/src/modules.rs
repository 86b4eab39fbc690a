//! Kernel modules in the order to load them in.
//!
//! Debian's kernel packages hold no `modules.dep`; each module itself says what
//! it depends on, in its `.modinfo` section.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// A module as it is loaded.
pub(crate) struct Module {
    pub(crate) name: String,
    /// Its ELF file, not compressed.
    pub(crate) content: Vec<u8>,
}

/// The modules `wanted` and all that they depend on, each after those that it
/// depends on, from the directory `lib/modules/VERSION`. One that is built into
/// the kernel is left out.
pub(crate) fn load(directory: &Path, wanted: &[&str]) -> Result<Vec<Module>> {
    let builtin = fs::read_to_string(directory.join("modules.builtin"))
        .with_context(|| directory.display().to_string())?;
    let builtin: BTreeSet<String> = builtin
        .lines()
        .filter_map(|l| module_name(l.as_ref()))
        .collect();
    let mut files = BTreeMap::new();
    index(directory, &mut files).with_context(|| directory.display().to_string())?;
    in_load_order(wanted, |name| {
        if builtin.contains(name) {
            return Ok(None);
        }
        let file = files
            .get(name)
            .with_context(|| format!("there is no module {name} in {}", directory.display()))?;
        Ok(Some(read(file)?))
    })
}

fn index(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            index(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The content of a module's file; kernels from Debian 13 on compress them.
fn read(file: &Path) -> Result<Vec<u8>> {
    let tool = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(file).with_context(|| file.display().to_string()),
    };
    let output = Command::new(tool)
        .arg("-dc")
        .arg(file)
        .output()
        .with_context(|| format!("cannot run {tool}"))?;
    if !output.status.success() {
        bail!("{tool} cannot decompress {}", file.display());
    }
    Ok(output.stdout)
}

/// Depth first. `read` gives a module's content, or None where it is built in.
fn in_load_order(
    wanted: &[&str],
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<Vec<Module>> {
    fn visit(
        name: &str,
        read: &mut impl FnMut(&str) -> Result<Option<Vec<u8>>>,
        seen: &mut BTreeSet<String>,
        order: &mut Vec<Module>,
    ) -> Result<()> {
        let name = normalise(name);
        if !seen.insert(name.clone()) {
            return Ok(());
        }
        if let Some(content) = read(&name)? {
            for dependency in depends(&content) {
                visit(&dependency, read, seen, order)?;
            }
            order.push(Module { name, content });
        }
        Ok(())
    }
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for name in wanted {
        visit(name, &mut read, &mut seen, &mut order)?;
    }
    Ok(order)
}

/// What a module depends on: the `depends=A,B` among the NUL-terminated strings
/// of its `.modinfo`.
fn depends(content: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = content.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = content[start + KEY.len()..].split(|byte| *byte == 0).next();
    String::from_utf8_lossy(value.unwrap_or_default())
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The name of the module in a file: `dm_mod` for `…/dm-mod.ko` and `…/dm-mod.ko.xz`.
fn module_name(file: &Path) -> Option<String> {
    let (name, suffix) = file.file_name()?.to_str()?.split_once(".ko")?;
    matches!(suffix, "" | ".xz" | ".zst").then(|| normalise(name))
}

/// The kernel takes `-` and `_` in the name of a module for the same.
fn normalise(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |file: &str| module_name(Path::new(file));
        assert_eq!(name("kernel/md/dm-mod.ko"), Some("dm_mod".into()));
        assert_eq!(name("/a/virtio_blk.ko.xz"), Some("virtio_blk".into()));
        assert_eq!(name("modules.order"), None);
        assert_eq!(name("x.ko.sig"), None);
    }

    #[test]
    fn dependencies_stand_in_modinfo() {
        let with = |text: &str| depends(text.as_bytes());
        assert_eq!(
            with("ELF\0softdepends=x\0depends=dm-mod,dm-bufio\0x=y\0"),
            ["dm-mod", "dm-bufio"]
        );
        assert!(with("ELF\0license=GPL\0depends=\0retpoline=Y\0").is_empty());
        assert!(with("ELF\0license=GPL\0").is_empty());
    }

    #[test]
    fn each_after_what_it_depends_on() {
        let read = |name: &str| {
            Ok(match name {
                "dm_verity" => Some(b"\0depends=dm-bufio,dm-mod\0".to_vec()),
                "dm_bufio" => Some(b"\0depends=dm-mod,dax\0".to_vec()),
                "dm_mod" => Some(b"\0depends=dax\0".to_vec()),
                "dax" => None,
                _ => bail!("no {name}"),
            })
        };
        let order = in_load_order(&["dm-verity", "dm-mod"], read).unwrap();
        let names: Vec<_> = order.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["dm_mod", "dm_bufio", "dm_verity"]);
        assert!(in_load_order(&["other"], read).is_err());
    }
}
