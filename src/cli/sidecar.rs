//! The command line of `sidecar`.

use clap::Args;

use super::{MountArgs, MountForm, MounterUsageError};
use crate::{FuseRequest, MountRequest};

/// The options of `sidecar`.
#[derive(Debug, Args)]
pub struct SidecarArgs {
    #[command(flatten)]
    mount: MountArgs,
    #[command(flatten)]
    options: SidecarOptions,
}

/// The options of all that is a sidecar.
#[derive(Debug, Args)]
pub(super) struct SidecarOptions {
    /// Go on where the rights and system calls that a waiting sidecar does not need cannot be given up
    #[arg(long)]
    allow_unconfined: bool,
    /// When asked to end, leave the disk where it is: for the next sidecar, which finds it, and for
    /// whoever unmounts at the end, as the kubelet does in the manifests of this project
    #[arg(long)]
    leave_mounted: bool,
}

impl SidecarArgs {
    /// Checks the options against each other.
    pub fn check(self) -> Result<MountForm, MounterUsageError> {
        Ok(match self.mount.check()? {
            MountForm::Kernel(request) => MountForm::Kernel(self.options.add_to(request)),
            MountForm::Fuse(_) if self.options.leave_mounted => {
                return Err(MounterUsageError::FuseLeaveMounted);
            }
            MountForm::Fuse(request) => MountForm::Fuse(FuseRequest {
                allow_unconfined: self.options.allow_unconfined,
                ..request
            }),
        })
    }
}

impl SidecarOptions {
    pub(super) fn add_to(self, request: MountRequest) -> MountRequest {
        MountRequest {
            allow_unconfined: self.allow_unconfined,
            leave_mounted: self.leave_mounted,
            ..request
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use clap::Parser;

    use crate::cli::{MounterArguments, MounterCommand};

    #[test]
    fn a_sidecar_by_fuse_ends_with_its_mount() {
        let line = |word| {
            let root_hash = "ab".repeat(32);
            let words = [
                "sidecar",
                "--fuse",
                word,
                "--root-hash",
                &root_hash,
                "a",
                "b",
            ];
            let line = ["disk-mounter"].into_iter().chain(words);
            match MounterArguments::try_parse_from(line).unwrap().command {
                MounterCommand::Sidecar(args) => args.check(),
                other => panic!("{other:?}"),
            }
        };
        let refused = line("--leave-mounted").unwrap_err();
        assert_eq!(refused, MounterUsageError::FuseLeaveMounted);
        let Ok(MountForm::Fuse(request)) = line("--allow-unconfined") else {
            panic!("a sidecar of another kind")
        };
        assert!(request.allow_unconfined);
    }
}
