//! A Rust file, with comments and the contents of texts blanked and test modules cut out.

use std::path::{Path, PathBuf};

/// One file. All forms keep the line numbers of the file.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: PathBuf,
    /// As it stands.
    pub(super) text: String,
    /// Without comments and without what texts say.
    pub(super) code: String,
    /// `code` without what only tests see.
    pub(super) product: String,
}

impl Source {
    pub(super) fn new(path: PathBuf, text: &str) -> Self {
        let code = without_comments(text);
        let product = if is_test(&path) {
            String::new()
        } else {
            without_tests(&code)
        };
        Self {
            path,
            text: text.to_owned(),
            code,
            product,
        }
    }

    /// Whether the file lies in `folder` or is it.
    pub(super) fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// `path:line` of the position `at` in any of the forms.
    pub(super) fn place(&self, form: &str, at: usize) -> String {
        let line = form.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }
}

/// Files that only tests, benchmarks and examples see.
fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| name == "tests")
        || path
            .iter()
            .any(|part| part == "tests" || part == "benches" || part == "examples")
}

/// Blanks comments and the contents of string and character literals.
fn without_comments(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = if bytes[at..].starts_with(b"//") {
            line_end(bytes, at)
        } else if bytes[at..].starts_with(b"/*") {
            comment_end(bytes, at)
        } else if let Some(end) = raw_text_end(bytes, at) {
            end
        } else if bytes[at] == b'"' {
            text_end(bytes, at)
        } else if let Some(end) = character_end(bytes, at) {
            end
        } else {
            at += 1;
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Blanking whole literals and comments cannot cut a character in two.
    String::from_utf8_lossy(&out).into_owned()
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |at| from + at)
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of `r"..."`, `r#"..."#`, `br"..."`, when one begins here.
fn raw_text_end(bytes: &[u8], from: usize) -> Option<usize> {
    if from > 0 && is_word(bytes[from - 1]) {
        return None;
    }
    let mut at = from + usize::from(bytes[from] == b'b');
    if bytes.get(at) != Some(&b'r') {
        return None;
    }
    at += 1;
    let hashes = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
    at += hashes;
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    at += 1;
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let length = bytes[at..]
        .windows(close.len())
        .position(|window| window == close);
    Some(length.map_or(bytes.len(), |length| at + length + close.len()))
}

fn text_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal; a lifetime is none.
fn character_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes[from] != b'\'' {
        return None;
    }
    if bytes.get(from + 1) == Some(&b'\\') {
        let close = bytes[from + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(from + 3 + close + 1);
    }
    // One character, of at most four bytes, then the quote.
    let width = match bytes.get(from + 1)? {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    (bytes.get(from + 1 + width) == Some(&b'\'')).then_some(from + width + 2)
}

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Blanks every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find(MARK) {
        let begin = from + found;
        let end = item_end(code.as_bytes(), begin + MARK.len());
        for byte in &mut out[begin..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An item ends with the brace that closes its first one, or with a semicolon before any brace.
fn item_end(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

/// Every place in `code` where `word` stands by itself.
pub(super) fn places(code: &str, word: &str) -> Vec<usize> {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || !is_word(bytes[at - 1]))
        .filter(|at| {
            bytes
                .get(at + word.len())
                .is_none_or(|next| !is_word(*next))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: &str) -> String {
        Source::new("crates/a/src/b.rs".into(), text).product
    }

    #[test]
    fn comments_and_texts_are_blanked_and_lines_kept() {
        let text = "a // std::fs\n/* b /* c */ d */ e \"std::net \\\" x\" 'y' '\\'' '\"' f<'a> r#\"q\" unsafe\"# g";
        let code = product(text);
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["a", "e", "f<'a>", "g"]
        );
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), 2);
    }

    #[test]
    fn test_items_are_cut_out_and_the_rest_stays() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { if x { y } } }\nfn c() {}\n#[cfg(test)]\nuse d;\nfn e() {}";
        let words = product(text);
        for (word, expected) in [("a", 1), ("b", 0), ("c", 1), ("d", 0), ("e", 1)] {
            assert_eq!(places(&words, word).len(), expected, "{word}");
        }
    }

    #[test]
    fn words_are_whole_words() {
        assert_eq!(places("unsafe_code unsafe {", "unsafe"), [12]);
        assert!(places("unsafe_code", "unsafe").is_empty());
    }
}
