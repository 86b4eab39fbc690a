//! Keeps a JSON parser from filling the memory.

use std::io::{self, Read};

/// No string is longer, in bytes as it stands there: room for all that an argument can hold, with
/// each byte of it escaped.
const MAX_STRING: u64 = 1 << 20;

/// Nothing is nested deeper.
const MAX_DEPTH: u64 = 100;

/// What no manifest has, and what would take as much memory as it is long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum JsonBoundsError {
    #[error("it has a string of more than {MAX_STRING} bytes")]
    String,
    #[error("it is nested more than {MAX_DEPTH} deep")]
    Depth,
}

/// Passes JSON on as long as it keeps the bounds. What is no JSON is for the parser to find.
pub(super) struct BoundedJson<R> {
    inner: R,
    /// How much of a string has been read, in one.
    string: Option<u64>,
    /// In a string, the next byte has no meaning.
    escaped: bool,
    depth: u64,
}

impl<R> BoundedJson<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            string: None,
            escaped: false,
            depth: 0,
        }
    }

    fn pass(&mut self, byte: u8) -> Result<(), JsonBoundsError> {
        let Some(length) = &mut self.string else {
            match byte {
                b'"' => self.string = Some(0),
                b'[' | b'{' => self.depth = self.depth.saturating_add(1),
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            return match self.depth {
                0..=MAX_DEPTH => Ok(()),
                _ => Err(JsonBoundsError::Depth),
            };
        };
        *length = length.saturating_add(1);
        if *length > MAX_STRING {
            return Err(JsonBoundsError::String);
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.string = None,
            _ => {}
        }
        Ok(())
    }
}

impl<R: Read> Read for BoundedJson<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in buffer.iter().take(read) {
            self.pass(*byte).map_err(io::Error::other)?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<(), String> {
        let mut passed = Vec::new();
        let mut bounded = BoundedJson::new(json.as_bytes());
        let result = bounded.read_to_end(&mut passed);
        assert!(result.is_err() || passed == json.as_bytes());
        result.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn strings_are_bounded_one_by_one() {
        let string = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
        let most = string(MAX_STRING as usize - 1);
        read(&format!("[{most},{most}]")).unwrap();
        let long = read(&string(MAX_STRING as usize));
        assert_eq!(
            long,
            Err("it has a string of more than 1048576 bytes".into())
        );
        // Neither is the end of the string.
        let escaped = format!(r#""{}\\\"{}""#, "x".repeat(1 << 19), "x".repeat(1 << 19));
        assert!(read(&escaped).is_err());
        // Outside of strings all may be long.
        read(&" ".repeat(2 << 20)).unwrap();
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        read(&format!("[{},{}]", nested(99), nested(99))).unwrap();
        let deep = read(&nested(101));
        assert_eq!(deep, Err("it is nested more than 100 deep".into()));
        read(&format!("\"{}\"", nested(1000))).unwrap();
    }
}
