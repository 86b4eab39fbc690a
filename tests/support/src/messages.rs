//! What every error message must be.

/// No cause stands twice in a line of a program's standard error.
///
/// An error says what happened, its cause is said by the cause alone, and the chain of them is
/// printed once. Every test that runs a program has its standard error looked at in this way.
///
/// # Panics
///
/// With the line, where one says something twice.
#[track_caller]
pub fn assert_causes_stand_once(stderr: &str) {
    if let Some(line) = stderr.lines().find(|line| says_something_twice(line)) {
        panic!("a cause stands twice: {line}");
    }
}

fn says_something_twice(line: &str) -> bool {
    let parts: Vec<&str> = line.split(": ").map(str::trim).collect();
    let twice = |(index, part): (usize, &&str)| part.len() > 2 && parts[..index].contains(part);
    parts.iter().enumerate().any(twice) || line.matches("(os error ").count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_stands_twice_is_seen() {
        for line in [
            "disk-builder: cannot open x: Not a directory (os error 20): Not a directory (os error 20)",
            "disk-builder: x is refused: its magic is missing: its magic is missing",
            "error: cannot open x (No such file (os error 2)): No such file (os error 2)",
        ] {
            assert!(says_something_twice(line), "{line}");
        }
        for line in [
            "",
            "disk-builder: cannot open x: Not a directory (os error 20)",
            "disk-mounter: error: 1: 1 is not a size",
        ] {
            assert!(!says_something_twice(line), "{line}");
        }
    }

    #[test]
    #[should_panic(expected = "a cause stands twice: b: same: same")]
    fn of_all_lines() {
        assert_causes_stand_once("a: once\nb: same: same\n");
    }
}
