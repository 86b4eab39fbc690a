//! The blocks of code in a document.
//!
//! A block of commands begins with ```` ```sh ````, and what stands behind `sh` says where a test
//! runs it:
//!
//! - nothing: anywhere, as any user (`tests/commands.rs`);
//! - `kernel`: as root, on a kernel with dm-verity (`tests/privileged/commands.rs`);
//! - `sidecar`: there too, and it ends when it is asked to;
//! - `elsewhere`: nowhere, and `tests/commands.rs` says why, and checks what can be checked.

/// A block of code.
#[derive(Debug)]
pub struct Block {
    /// What stands behind the three backquotes; nothing where the block is only indented.
    pub info: String,
    /// Its lines.
    pub text: String,
}

/// All blocks of a document, fenced or indented.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut fenced = false;
    let mut indented = false;
    for line in document.lines() {
        if let Some(info) = line.strip_prefix("```") {
            fenced = !fenced;
            indented = false;
            if fenced {
                blocks.push(Block {
                    info: info.to_owned(),
                    text: String::new(),
                });
            }
            continue;
        }
        let code = line.strip_prefix("    ");
        if !fenced && code.is_some() && !indented {
            blocks.push(Block {
                info: String::new(),
                text: String::new(),
            });
        }
        indented = !fenced && code.is_some();
        if let (true, Some(block)) = (fenced || indented, blocks.last_mut()) {
            block.text += if fenced { line } else { code.unwrap_or(line) };
            block.text.push('\n');
        }
    }
    assert!(!fenced, "a block has no end");
    blocks
}

/// The commands of a document that are run at one place, as one script: what one block sets, the
/// next one knows.
pub fn script(document: &str, info: &str) -> String {
    let blocks = blocks(document).into_iter();
    blocks
        .filter(|block| block.info == info)
        .map(|block| block.text)
        .collect()
}
