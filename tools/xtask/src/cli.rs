//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "packages")]
use crate::provenance::UNNAMED_BUILDER;
use crate::{image::REGISTRY, program::ZSH_FUNCTIONS, setup::Purpose};

/// Prepares a machine for this project, and installs and packages its programs.
///
/// What it makes is the same to the byte wherever, whenever and by whomever it is made. The time
/// that everything bears is SOURCE_DATE_EPOCH, or else that of the last commit.
#[derive(Parser)]
#[command(name = "xtask")]
pub(crate) struct XtaskArguments {
    #[command(subcommand)]
    pub(crate) command: XtaskCommand,
}

#[derive(Subcommand)]
pub(crate) enum XtaskCommand {
    /// Install the Debian packages that are missing for some purposes
    Setup {
        /// What the machine is to be used for
        #[arg(value_name = "PURPOSE", value_enum, required = true)]
        purposes: Vec<Purpose>,
    },
    #[cfg(feature = "packages")]
    /// Write the manual pages and completions of both programs
    Documents {
        /// The folder; in it they lie as under `share` of an installation
        folder: PathBuf,
        /// The date of the pages
        #[arg(long, value_name = "YYYY-MM-DD", default_value = "")]
        date: String,
    },
    #[cfg(feature = "packages")]
    /// Install programs with what belongs to them
    Install(InstallArguments),
    /// Remove what `install` has installed
    Uninstall(UninstallArguments),
    #[cfg(feature = "packages")]
    /// Print the licences and notices of what is linked into programs
    Notices {
        /// The target that they were built for
        target: String,
        /// Their names
        #[arg(value_name = "PROGRAM", required = true)]
        programs: Vec<String>,
    },
    #[cfg(feature = "packages")]
    /// Print the bill of materials of a program, as CycloneDX 1.5 in JSON
    Sbom {
        /// The program's file
        program: PathBuf,
        /// The target that it was built for
        target: String,
    },
    #[cfg(feature = "packages")]
    /// Make the Debian package of each program
    Deb(ReleaseArguments),
    #[cfg(feature = "packages")]
    /// Make everything of a release: archive, packages, bills of materials, provenance, checksums
    Dist(DistArguments),
    /// Build the container image of a program, as FOLDER/NAME.oci.tar, and print NAME@DIGEST
    ///
    /// All times in it are SOURCE_DATE_EPOCH, or 1970 where that is not set, so that the same
    /// program gives the same image. (buildah and docker write the same image in two ways, so
    /// each has a digest of its own.)
    Image {
        /// The folder for the image
        folder: PathBuf,
        /// The program's file, which is called as the image is
        program: PathBuf,
        /// Where the image belongs: the archive names it REGISTRY/NAME:VERSION
        #[arg(long, default_value = REGISTRY)]
        registry: String,
    },
}

#[cfg(feature = "packages")]
#[derive(Args)]
pub(crate) struct InstallArguments {
    /// Where: $DESTDIR$PREFIX
    pub(crate) root: PathBuf,
    /// The folder with the built programs
    pub(crate) release: PathBuf,
    /// The programs' names
    #[arg(value_name = "PROGRAM", required = true)]
    pub(crate) programs: Vec<String>,
    /// The folder under ROOT for zsh's completions
    #[arg(long, value_name = "FOLDER", default_value = ZSH_FUNCTIONS)]
    pub(crate) zsh_functions: PathBuf,
}

#[derive(Args)]
pub(crate) struct UninstallArguments {
    /// From where: $DESTDIR$PREFIX
    pub(crate) root: PathBuf,
    /// The programs' names
    #[arg(value_name = "PROGRAM", required = true)]
    pub(crate) programs: Vec<String>,
    /// The folder under ROOT for zsh's completions
    #[arg(long, value_name = "FOLDER", default_value = ZSH_FUNCTIONS)]
    pub(crate) zsh_functions: PathBuf,
}

/// What is to be published, and where to.
#[cfg(feature = "packages")]
#[derive(Args, Clone)]
pub(crate) struct ReleaseArguments {
    /// The folder for what is made
    pub(crate) folder: PathBuf,
    /// The folder with the built programs
    pub(crate) release: PathBuf,
    /// The target that they were built for
    pub(crate) target: String,
    /// The programs' names
    #[arg(value_name = "PROGRAM", required = true)]
    pub(crate) programs: Vec<String>,
}

#[cfg(feature = "packages")]
#[derive(Args)]
pub(crate) struct DistArguments {
    #[command(flatten)]
    pub(crate) release: ReleaseArguments,
    /// A key of SSH to sign the checksums with
    #[arg(long, value_name = "KEY")]
    pub(crate) sign_key: Option<PathBuf>,
    /// The URI of whoever makes the release, for its provenance
    #[arg(long, value_name = "URI", default_value = UNNAMED_BUILDER)]
    pub(crate) builder: String,
}

#[cfg(feature = "packages")]
impl ReleaseArguments {
    /// The same for another folder.
    pub(crate) fn for_folder(&self, folder: PathBuf) -> Self {
        Self {
            folder,
            ..self.clone()
        }
    }
}

#[cfg(all(test, feature = "packages"))]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        XtaskArguments::command().debug_assert();
    }

    #[test]
    fn zsh_has_a_folder_of_its_own() {
        let parse = |line: &str| match XtaskArguments::try_parse_from(line.split(' ')) {
            Ok(XtaskArguments {
                command: XtaskCommand::Install(arguments),
            }) => arguments.zsh_functions,
            _ => panic!("{line} is not understood"),
        };
        let folder = parse("xtask install /root release disk-mounter");
        assert_eq!(folder, PathBuf::from("share/zsh/site-functions"));
        let folder = parse("xtask install /root release disk-mounter --zsh-functions zsh");
        assert_eq!(folder, PathBuf::from("zsh"));
    }
}
