//! Signatures by a key of SSH, which OpenSSH's own program makes: that knows keys in files, agents
//! and tokens.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    child::{command, run},
    files::{READABLE, set_mode},
};

/// What is signed for: a signature for anything else is none of a release.
const NAMESPACE: &str = "disk-mounter-release";

/// What OpenSSH puts after the name of a file for that of its signature.
pub(crate) const SIGNATURE: &str = ".sig";

/// Signs a file; the signature lies beside it, as OpenSSH names it.
pub(crate) fn sign(file: &Path, key: &Path) -> Result<()> {
    let mut sign = command("ssh-keygen", ["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]);
    run(sign.arg(key).arg(file))?;
    let mut signature = file.as_os_str().to_owned();
    signature.push(SIGNATURE);
    set_mode(&PathBuf::from(signature), READABLE)
}
