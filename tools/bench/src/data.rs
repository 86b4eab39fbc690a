//! The models and images that the programs are given: the same bytes each time,
//! which look random and cannot be compressed.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::statvfs;

const CHUNK: usize = 1 << 20;

/// The file that shows that a directory is one of ours.
const MARK: &str = ".made-by-bench";

/// A directory of data, which goes when this is dropped unless it is to be kept.
pub(crate) struct Data {
    directory: PathBuf,
    keep: bool,
}

impl Data {
    /// Takes a directory below this one. It must be new, or one that was taken before: all that is
    /// in it goes.
    pub(crate) fn new(below: &Path, keep: bool) -> Result<Self> {
        let directory = below.join("data");
        let mark = directory.join(MARK);
        if directory.exists() && !mark.exists() {
            bail!(
                "{} was not made by this program, which would remove it: choose another --dir",
                directory.display()
            );
        }
        fs::create_dir_all(&directory)
            .and_then(|()| fs::write(mark, ""))
            .with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self {
            directory: directory.canonicalize()?,
            keep,
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the programs put what they make: a directory that is empty at first.
    pub(crate) fn outputs(&self) -> Result<PathBuf> {
        let outputs = self.directory.join("outputs");
        if outputs.exists() {
            fs::remove_dir_all(&outputs)?;
        }
        fs::create_dir(&outputs)?;
        Ok(outputs)
    }

    /// Makes sure that this many bytes can be written.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        let space = statvfs(&self.directory)?;
        let free = space.blocks_available() * space.fragment_size();
        if free < bytes {
            bail!(
                "{} has {} MiB free, and {} are needed: choose another --dir or a smaller --size",
                self.directory.display(),
                free >> 20,
                bytes >> 20
            );
        }
        Ok(())
    }

    /// A model: four files of weights with `bytes` bytes in all, and the small
    /// files that come with them.
    pub(crate) fn model(&self, bytes: u64) -> Result<PathBuf> {
        self.once(&format!("model-{bytes}"), |directory| {
            fs::create_dir(directory)?;
            for part in 0..4 {
                let path = directory.join(format!("model-{:05}-of-00004.safetensors", part + 1));
                safetensors(&path, bytes / 4, part)?;
            }
            let config = serde_json::json!({ "model_type": "benchmark", "num_hidden_layers": 4 });
            let tokens: Vec<u32> = (0..50_000).collect();
            for (name, value) in [
                ("config.json", &config),
                ("generation_config.json", &config),
                ("tokenizer.json", &serde_json::json!({ "vocab": tokens })),
                ("tokenizer_config.json", &config),
            ] {
                fs::write(directory.join(name), value.to_string())?;
            }
            Ok(())
        })
    }

    /// A model of so many files of a few hundred bytes, a thousand in each directory.
    pub(crate) fn small_files(&self, count: u64) -> Result<PathBuf> {
        self.once(&format!("small-files-{count}"), |directory| {
            fs::create_dir(directory)?;
            for number in 0..count {
                let folder = directory.join(format!("{:04}", number / 1000));
                if number.is_multiple_of(1000) {
                    fs::create_dir(&folder)?;
                }
                let mut bytes = vec![0; 100 + (number % 256) as usize];
                noise(&mut bytes, number);
                fs::write(folder.join(format!("{number:07}.json")), bytes)?;
            }
            Ok(())
        })
    }

    /// A file without holes.
    pub(crate) fn image(&self, bytes: u64) -> Result<PathBuf> {
        self.once(&format!("image-{bytes}"), |path| {
            fill(&File::create(path)?, 0..bytes, 7)
        })
    }

    /// A directory with one file, `image`, that is all holes but for `data` bytes,
    /// which are spread over it evenly, a MiB at a time.
    pub(crate) fn sparse(&self, bytes: u64, data: u64) -> Result<PathBuf> {
        self.once(&format!("sparse-{bytes}-{data}"), |directory| {
            fs::create_dir(directory)?;
            let file = File::create(directory.join("image"))?;
            file.set_len(bytes)?;
            let pieces = data / CHUNK as u64;
            for piece in 0..pieces {
                let start = bytes / CHUNK as u64 * piece / pieces * CHUNK as u64;
                fill(&file, start..start + CHUNK as u64, 8)?;
            }
            Ok(())
        })
    }

    /// Makes something that is not there yet. It gets its name when it is
    /// complete and on the disk.
    fn once(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.directory.join(name);
        if path.exists() {
            return Ok(path);
        }
        eprintln!("Making {}", path.display());
        let part = self.directory.join("part");
        remove(&part)?;
        make(&part)
            // File by file it would take minutes where there are very many.
            .and_then(|()| crate::cache::flush(&self.directory))
            .with_context(|| format!("cannot make {}", path.display()))?;
        fs::rename(&part, &path)?;
        Ok(path)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            eprintln!("bench: cannot remove {}: {error}", self.directory.display());
        }
    }
}

/// Removes a file or a directory, if there is one.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// A file of weights: the length of its header, the header, and one tensor.
fn safetensors(path: &Path, bytes: u64, seed: u64) -> Result<()> {
    const HEADER: u64 = 128;
    let size = bytes - HEADER - 8;
    let header = serde_json::json!({
        "weight": { "dtype": "U8", "shape": [size], "data_offsets": [0, size] }
    });
    let mut file = File::create(path)?;
    file.write_all(&HEADER.to_le_bytes())?;
    let header = header.to_string();
    file.write_all(format!("{header:width$}", width = HEADER as usize).as_bytes())?;
    fill(&file, HEADER + 8..bytes, seed)
}

/// Writes what [`noise`] gives to part of a file.
fn fill(file: &File, range: std::ops::Range<u64>, seed: u64) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut offset = range.start;
    while offset < range.end {
        let length = (range.end - offset).min(CHUNK as u64) as usize;
        noise(&mut buffer[..length], seed ^ (offset << 8));
        file.write_all_at(&buffer[..length], offset)?;
        offset += length as u64;
    }
    Ok(())
}

/// Bytes that depend on the seed alone: SplitMix64, which is fast enough not to be
/// what one waits for.
pub(crate) fn noise(bytes: &mut [u8], seed: u64) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = next();
    }
    rest.copy_from_slice(&next()[..rest.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CachedFile;

    #[test]
    fn noise_depends_on_its_seed() {
        let of = |seed| {
            let mut bytes = [0; 100];
            noise(&mut bytes, seed);
            bytes
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(0).iter().filter(|byte| **byte == 0).count() < 10);
    }

    #[test]
    fn data_is_made_once_and_removed_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let data = Data::new(directory.path(), false).unwrap();
        let model = data.model(4 << 20).unwrap();
        let sizes: u64 = crate::cache::files(&model)
            .unwrap()
            .iter()
            .filter(|path| path.extension().unwrap() == "safetensors")
            .map(|path| path.metadata().unwrap().len())
            .sum();
        assert_eq!(sizes, 4 << 20);
        let part = model.join("model-00001-of-00004.safetensors");
        let weights = fs::read(&part).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&weights[8..136]).unwrap();
        assert_eq!(header["weight"]["data_offsets"][1], weights.len() - 136);

        fs::write(&part, "changed").unwrap();
        assert_eq!(data.model(4 << 20).unwrap(), model);
        assert_eq!(fs::read(&part).unwrap(), b"changed");

        let place = data.directory().to_owned();
        drop(data);
        assert!(!place.exists() && directory.path().exists());
    }

    #[test]
    fn a_directory_of_somebody_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let theirs = directory.path().join("data/thesis.txt");
        fs::create_dir(theirs.parent().unwrap()).unwrap();
        fs::write(&theirs, "mine").unwrap();
        assert!(Data::new(directory.path(), false).is_err());
        assert_eq!(fs::read(&theirs).unwrap(), b"mine");

        // What a run left that was killed is one of ours.
        let other = tempfile::tempdir().unwrap();
        std::mem::forget(Data::new(other.path(), false).unwrap());
        drop(Data::new(other.path(), false).unwrap());
        assert!(!other.path().join("data").exists());
    }

    #[test]
    fn sparse_images_have_their_data_within() {
        let directory = tempfile::tempdir().unwrap();
        let data = Data::new(directory.path(), false).unwrap();
        let image = data.sparse(64 << 20, 3 << 20).unwrap().join("image");
        let input = CachedFile::whole(&image).unwrap();
        assert_eq!(input.length, 64 << 20);
        let content = fs::read(&image).unwrap();
        let full = content.chunks(CHUNK).filter(|c| c.iter().any(|b| *b != 0));
        assert_eq!(full.count(), 3);
    }

    #[test]
    fn room_is_checked() {
        let directory = tempfile::tempdir().unwrap();
        let data = Data::new(directory.path(), false).unwrap();
        data.check_room(1).unwrap();
        assert!(data.check_room(u64::MAX).is_err());
    }
}
