//! The kernel's verity target: its version, and the options that this one knows.

use super::{DeviceMapper, MappingError, failed};
use dm_verity::OnCorruption;

/// The name of the target type.
pub(super) const TARGET: &str = "verity";

impl DeviceMapper {
    /// Checks that the verity target, where it is loaded already, knows an option.
    pub(super) fn check_option(&self, on_corruption: OnCorruption) -> Result<(), MappingError> {
        match self.target_version()? {
            Some(has) => knows(has, on_corruption),
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

/// Whether this version of the verity target knows an option.
fn knows(has: (u32, u32), on_corruption: OnCorruption) -> Result<(), MappingError> {
    match on_corruption.argument() {
        Some((option, needs, linux)) if has < needs => {
            Err(MappingError::TooOld { option, has, linux })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_disk::{ExitCode, HasExitCode};

    #[test]
    fn an_option_that_the_kernel_lacks_is_named() {
        let error = knows((1, 6), OnCorruption::Panic).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Unsupported);
        let text = error.to_string();
        for word in ["(1.6)", "panic_on_corruption", "Linux 5.9"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(knows((1, 1), OnCorruption::Restart).is_err());
        for (has, option) in [
            ((1, 7), OnCorruption::Panic),
            ((1, 2), OnCorruption::Restart),
            ((2, 0), OnCorruption::Panic),
            ((1, 0), OnCorruption::Eio),
        ] {
            assert!(knows(has, option).is_ok(), "{has:?} {option:?}");
        }
    }
}
