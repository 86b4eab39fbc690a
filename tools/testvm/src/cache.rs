//! What is fetched once, and then lies in the cache.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::apt::DebianArchive;

/// The root of packages with all that they depend on.
pub(crate) fn unpacked(cache: &Path, suite: &str, packages: &[String]) -> Result<PathBuf> {
    let name = format!("{suite}_{}", packages.join("_"));
    cached(cache, &name, |apt, root| {
        let archive = DebianArchive::read(apt, &[&format!("debian {suite}")])?;
        archive
            .unpack_all(packages, root)
            .with_context(|| format!("cannot fetch {} of {suite}", packages.join(", ")))
    })
}

/// The source of a package, with Debian's patches.
pub(crate) fn unpacked_source(cache: &Path, suite: &str, package: &str) -> Result<PathBuf> {
    let name = format!("{suite}_{package}_source");
    let directory = cached(cache, &name, |apt, root| {
        let archive = DebianArchive::read_sources(apt, &[&format!("debian {suite}")])?;
        archive
            .unpack_source(package, &root.join(package))
            .with_context(|| format!("cannot fetch the source of {package} of {suite}"))
    })?;
    Ok(directory.join(package))
}

/// A directory of the cache. Where there is none, `fetch` fills it, which also gets an empty
/// directory that is nobody else's.
pub(crate) fn cached(
    cache: &Path,
    name: &str,
    fetch: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    // Not the caller's working directory, but one that others can go by.
    let cache = cache.canonicalize()?;
    let directory = cache.join(name);
    // One process fetches, others that come meanwhile wait for it.
    let lock = File::create(cache.join("lock")).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.with_context(|| format!("cannot lock {}/lock", cache.display()))?;
    if !directory.exists() {
        eprintln!("testvm: fetching {name}, this once");
        let partial = tempfile::tempdir_in(&cache)?;
        let (own, root) = (partial.path().join("apt"), partial.path().join("root"));
        fs::create_dir(&own)?;
        fs::create_dir(&root)?;
        fetch(&own, &root)?;
        fs::rename(root, &directory)?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn fetched_once_and_wholly() {
        let cache = tempfile::tempdir().unwrap();
        let failed = cached(cache.path(), "a", |_, root| {
            fs::write(root.join("half"), "")?;
            bail!("broken off")
        });
        assert!(failed.is_err());
        let fetch = |_: &Path, root: &Path| Ok(fs::write(root.join("whole"), "")?);
        let directory = cached(cache.path(), "a", fetch).unwrap();
        assert!(directory.join("whole").exists() && !directory.join("half").exists());
        let again = cached(cache.path(), "a", |_, _| bail!("it is there"));
        assert_eq!(again.unwrap(), directory);
        // The directory and the lock.
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 2);
    }
}
