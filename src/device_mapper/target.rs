//! The kernel's verity target: its version, and the options that this one knows.

use super::{DeviceMapper, MappingError, failed};
use dm_verity::{OnCorruption, OnReadError};

/// The name of the target type.
pub(super) const TARGET: &str = "verity";

/// The oldest version that is accepted: that of Linux 6.0.
///
/// From this number on, no table of another target can take the place of one that verifies
/// (CVE-2022-2503, mended in Linux 5.19 and its contemporaries without a number of its own). That a
/// block whose hash is wrong is read once more, so that a reader that writes into its own buffer
/// meanwhile does not make a disk count as corrupt, came with 1.10 (Linux 6.8), and into the kernels
/// of 1.9 without a number: to ask for it would be to refuse Linux 6.1 and 6.6, which have it since
/// 6.1.80 and 6.6.19.
const NEEDED: (u32, u32) = (1, 9);

impl DeviceMapper {
    /// Checks that the verity target, where it is loaded already, is new enough, and knows the
    /// options.
    pub(crate) fn check_target(
        &self,
        on_corruption: OnCorruption,
        on_error: OnReadError,
    ) -> Result<(), MappingError> {
        match self.target_version()? {
            Some(has) => check_version(has, on_corruption, on_error),
            None => Ok(()),
        }
    }

    /// The version of the verity target; None where it is not loaded.
    pub(super) fn target_version(&self) -> Result<Option<(u32, u32)>, MappingError> {
        let versions = self
            .dm
            .list_versions()
            .map_err(failed("list its targets"))?;
        Ok(versions
            .into_iter()
            .find(|(target, ..)| target == TARGET)
            .map(|(_, major, minor, _)| (major, minor)))
    }
}

/// Whether this version of the verity target is new enough, and knows the options.
fn check_version(
    has: (u32, u32),
    on_corruption: OnCorruption,
    on_error: OnReadError,
) -> Result<(), MappingError> {
    if has < NEEDED {
        return Err(MappingError::TargetTooOld { has, needs: NEEDED });
    }
    let arguments = [on_corruption.argument(), on_error.argument()];
    for (option, needs, linux) in arguments.into_iter().flatten() {
        if has < needs {
            return Err(MappingError::TooOld { option, has, linux });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_disk::{ExitCode, HasExitCode};

    #[test]
    fn an_option_that_the_kernel_lacks_is_named() {
        for (on_error, option) in [
            (OnReadError::Restart, "restart_on_error"),
            (OnReadError::Panic, "panic_on_error"),
        ] {
            let error = check_version((1, 9), OnCorruption::Panic, on_error).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Unsupported);
            let text = error.to_string();
            for word in ["(1.9)", option, "Linux 6.12"] {
                assert!(text.contains(word), "{text}");
            }
            for has in [(1, 10), (1, 13), (2, 0)] {
                check_version(has, OnCorruption::Restart, on_error).unwrap();
            }
        }
    }

    #[test]
    fn a_target_that_is_too_old_is_refused() {
        for has in [(0, 9), (1, 0), (1, 8)] {
            let error = check_version(has, OnCorruption::Eio, OnReadError::Eio).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::Unsupported);
            let (text, number) = (error.to_string(), format!("({}.{})", has.0, has.1));
            for word in [
                &number,
                "1.9 is needed",
                "Linux 6.0",
                "CVE-2022-2503",
                "newer kernel",
            ] {
                assert!(text.contains(word), "{text}");
            }
        }
        for has in [(1, 9), (1, 10), (2, 0)] {
            for on_corruption in [
                OnCorruption::Eio,
                OnCorruption::Restart,
                OnCorruption::Panic,
            ] {
                check_version(has, on_corruption, OnReadError::Eio).unwrap();
            }
        }
    }
}
