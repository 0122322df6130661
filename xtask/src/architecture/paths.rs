//! The paths that a file names: `use` trees expanded, `super` resolved.

use super::source::{Source, is_word, places};

/// A path in the code, from its root: `crate::core::base`, `std::fs::File`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    pub(super) at: usize,
}

/// Every path in the product code of `source` that begins with one of `roots`, `crate`, `self` or `super`.
/// Relative paths are made absolute: their first segment is `crate`.
pub(super) fn named(source: &Source, roots: &[&str]) -> Vec<Named> {
    let module = module(source);
    let mut found = Vec::new();
    for root in ["crate", "self", "super"].iter().chain(roots) {
        for at in places(&source.product, root) {
            let code = source.product.as_bytes();
            let after = &source.product[at + root.len()..];
            // Only the beginning of a path: `a::std::fs` is another thing, and so is a `self` argument.
            if !after.trim_start().starts_with("::") || before(code, at).ends_with(b"::") {
                continue;
            }
            for segments in expand(&source.product[at..]) {
                found.push(Named {
                    segments: absolute(segments, &module),
                    at,
                });
            }
        }
    }
    found
}

fn before(code: &[u8], at: usize) -> &[u8] {
    let head = &code[..at];
    let end = head
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())
        .map_or(0, |last| last + 1);
    &head[..end]
}

/// `crates/common/src/core/base/id.rs` is `["core", "base", "id"]`.
pub(super) fn module(source: &Source) -> Vec<String> {
    let parts: Vec<String> = source
        .path
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let inside = parts
        .iter()
        .position(|part| part == "src")
        .map_or(&parts[..], |at| &parts[at + 1..]);
    let mut module = inside.to_vec();
    if let Some(last) = module.last_mut() {
        *last = last.trim_end_matches(".rs").to_owned();
    }
    if module.len() == 1 && matches!(module[0].as_str(), "lib" | "main") {
        module.clear();
    }
    module
}

fn absolute(segments: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = match segments.first().map(String::as_str) {
        Some("self" | "super") => module.to_vec(),
        _ => return segments,
    };
    let mut rest = segments.as_slice();
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        rest = tail;
    }
    let mut path = vec!["crate".to_owned()];
    path.append(&mut base);
    path.extend_from_slice(rest);
    path
}

/// `a::{b::c, d::{self, e}}` as its four paths; reads until the path ends.
fn expand(text: &str) -> Vec<Vec<String>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut found = Vec::new();
    tree(bytes, &mut at, &[], &mut found);
    found
}

fn tree(bytes: &[u8], at: &mut usize, prefix: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    loop {
        blank(bytes, at);
        match bytes.get(*at) {
            Some(b'{') => {
                *at += 1;
                loop {
                    blank(bytes, at);
                    match bytes.get(*at) {
                        None => return,
                        Some(b'}') => {
                            *at += 1;
                            return;
                        }
                        Some(b',') => *at += 1,
                        Some(byte) if is_word(*byte) || *byte == b'*' => {
                            tree(bytes, at, &path, found);
                        }
                        // Not a `use` tree after all.
                        Some(_) => return,
                    }
                }
            }
            Some(b'*') => {
                *at += 1;
                path.push("*".to_owned());
            }
            Some(byte) if is_word(*byte) => {
                let begin = *at;
                while bytes.get(*at).is_some_and(|byte| is_word(*byte)) {
                    *at += 1;
                }
                let word = String::from_utf8_lossy(&bytes[begin..*at]).into_owned();
                if word != "self" || path.is_empty() {
                    path.push(word);
                }
            }
            _ => break,
        }
        let mut next = *at;
        blank(bytes, &mut next);
        if bytes.get(next..next + 2) == Some(b"::") {
            *at = next + 2;
        } else {
            if bytes.get(next..next + 3) == Some(b"as ") {
                next += 3;
                blank(bytes, &mut next);
                while bytes.get(next).is_some_and(|byte| is_word(*byte)) {
                    next += 1;
                }
                *at = next;
            }
            break;
        }
    }
    found.push(path);
}

fn blank(bytes: &[u8], at: &mut usize) {
    while bytes.get(*at).is_some_and(u8::is_ascii_whitespace) {
        *at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let source = Source::new("crates/common/src/core/base/id.rs".into(), text);
        let mut found: Vec<String> = named(&source, &["std"])
            .into_iter()
            .map(|path| path.segments.join("::"))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn trees_are_expanded_and_relative_paths_resolved() {
        assert_eq!(
            paths("use std::{fs, io::{self, Read as R, Write}};"),
            ["std::fs", "std::io", "std::io::Read", "std::io::Write"]
        );
        assert_eq!(
            paths("use super::super::schema::Schema;"),
            ["crate::core::schema::Schema"]
        );
        assert_eq!(
            paths("use super::value::{Text, *};"),
            [
                "crate::core::base::value::*",
                "crate::core::base::value::Text"
            ]
        );
        assert_eq!(
            paths("let x = std::fs::read(p)?; fn f(&self) {}"),
            ["std::fs::read"]
        );
        assert_eq!(
            paths("use crate::{error::Error, core::{base::Value}};"),
            ["crate::core::base::Value", "crate::error::Error"]
        );
        assert!(paths("nostd::fs; a::std::fs;").is_empty());
    }
}
