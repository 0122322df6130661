//! The shape of the sources: unsafe code, sizes, public traits, decoders, names, loose ends.

use super::Finding;
use super::source::{Source, places};

/// The files that may hold unsafe code. Each gets its line here with what it is for.
const UNSAFE: &[&str] = &[
    // Structs of Arrow's C interface, which capsules of Python hand over.
    "bindings/python/src/arrow/capsule.rs",
    // The dictionary of an object of Python's, for which PyO3 has no safe name.
    "bindings/python/src/interchange/own.rs",
    // Values of any number and the bytes of their texts in one allocation, with its own count of owners.
    "crates/common/src/core/base/body.rs",
    // A text that lies in its record's allocation.
    "crates/common/src/core/base/text.rs",
    // A file as memory.
    "crates/durable/src/page_file/map.rs",
    // Calls of functions that enable instructions of the processor; for x86, also the prefetch instruction.
    "crates/vectordb/src/core/distance/aarch64.rs",
    "crates/vectordb/src/core/distance/x86.rs",
    // Inner products of vectors with 16 centres at a time, in the registers of one kind of machine.
    "crates/vectordb/src/indexing/clustered/panels/x86.rs",
    // Products of planes of bits with a query, in masks of AVX-512.
    "crates/vectordb/src/indexing/quantize/extended/x86.rs",
    // Sums of table look-ups for 32 codes at once, in the registers of one kind of machine each.
    "crates/vectordb/src/indexing/quantize/fastscan/neon.rs",
    "crates/vectordb/src/indexing/quantize/fastscan/x86.rs",
    // Calls into functions that are compiled for wider registers than every machine has.
    "crates/vectordb/src/core/wide.rs",
    // A global allocator that counts: the trait is unsafe. Only in benchmarks.
    "dev/bench/src/alloc.rs",
    // Functions of SQLite's session extension, for which `rusqlite` has no bindings without libclang. A rival only.
    "dev/bench-sync/src/session.rs",
];

/// Most lines of code in one file, comments and blank lines not counted.
const LINES_MAX: usize = 800;

/// The public traits: each is a promise to strangers, so there are few. All are object-safe and work on
/// batches, but for those that have a closed set of implementations.
const TRAITS: &[&str] = &[
    "Clock",
    "Codec",
    "Encoding",
    "Files",
    "Output",
    "Rng",
    "Storage",
    "Transform",
    "Transport",
    "Versioning",
];
const TRAITS_MAX: usize = 12;

/// The words in the header of a file that decodes bytes from outside.
pub(crate) const DECODER_MARK: &str = "reason = \"decodes bytes from outside\"";

/// What that header denies.
const DECODER_LINTS: &[&str] = &[
    "clippy::cast_possible_truncation",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::panic",
    "clippy::unreachable",
    "clippy::unwrap_used",
];

/// Decoders that no `&Limits` gives away.
const MORE_DECODERS: &[&str] = &["crates/common/src/core/base/value_serde.rs"];

/// Files that hand `&Limits` on or define it, and read no bytes themselves.
const NO_DECODERS: &[&str] = &[
    "crates/common/src/limits.rs",
    "crates/common/src/optimization/batch.rs",
];

pub(super) fn unsafe_code(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if UNSAFE.iter().any(|file| source.is_in(file)) {
            continue;
        }
        for at in places(&source.code, "unsafe") {
            let place = source.place(&source.code, at);
            findings.push(format!(
                "{place}: unsafe code in a file that is not listed for it"
            ));
        }
    }
    findings
}

pub(super) fn sizes(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let lines = source
            .code
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        if lines > LINES_MAX {
            let path = source.path.display();
            findings.push(format!(
                "{path} has {lines} lines of code, more than {LINES_MAX}: it is two files"
            ));
        }
    }
    findings
}

pub(super) fn traits(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if TRAITS.len() > TRAITS_MAX {
        findings.push(format!(
            "{} public traits are listed, more than {TRAITS_MAX}",
            TRAITS.len()
        ));
    }
    for source in sources.iter().filter(|source| source.is_in("crates")) {
        for at in places(&source.product, "pub trait") {
            let name: String = source.product[at + "pub trait".len()..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !TRAITS.contains(&name.as_str()) {
                let place = source.place(&source.product, at);
                findings.push(format!(
                    "{place}: the public trait {name} is not listed; is it an enum or a closure?"
                ));
            }
        }
    }
    findings
}

pub(super) fn decoders(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|source| source.is_in("crates") && !source.is_in("crates/testkit"))
    {
        let listed = MORE_DECODERS.iter().any(|file| source.is_in(file));
        let exempt = NO_DECODERS.iter().any(|file| source.is_in(file));
        let takes_limits = places(&source.product, "Limits")
            .into_iter()
            .any(|at| is_borrowed(&source.product[..at]));
        if !(listed || takes_limits && !exempt) {
            continue;
        }
        let missing: Vec<&&str> = DECODER_LINTS
            .iter()
            .filter(|lint| !header(source).contains(**lint))
            .collect();
        if !missing.is_empty() || !source.text.contains(DECODER_MARK) {
            findings.push(format!(
                "{} decodes bytes from outside and does not say so: its header `#![deny(.., {DECODER_MARK})]` \
                 lacks {missing:?} (CONTRIBUTING.md, section \"Decoders\")",
                source.path.display()
            ));
        }
    }
    findings
}

/// Whether `&` or `&'a` ends `before`.
fn is_borrowed(before: &str) -> bool {
    let before = before.trim_end();
    let lifetime = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
    before.ends_with('&') || lifetime.ends_with("&'")
}

/// The inner `deny` attribute of a file.
fn header(source: &Source) -> &str {
    let Some(begin) = source.code.find("#![deny(") else {
        return "";
    };
    let rest = &source.code[begin..];
    rest.find(")]").map_or(rest, |end| &rest[..end])
}

pub(super) fn names(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        if source.path.file_name().is_some_and(|name| name == "mod.rs") {
            findings.push(format!(
                "{}: a folder's module is its neighbour `folder.rs`",
                source.path.display()
            ));
        }
        for keyword in ["struct", "enum", "trait"] {
            for at in places(&source.product, keyword) {
                let name: String = source.product[at + keyword.len()..]
                    .trim_start()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let prefixed = name
                    .strip_prefix("Base")
                    .or_else(|| name.strip_prefix("Abstract"));
                let hierarchy = prefixed.is_some_and(|rest| rest.starts_with(char::is_uppercase))
                    || ["Manager", "Factory", "Helper"]
                        .iter()
                        .any(|end| name.ends_with(end));
                if hierarchy {
                    let place = source.place(&source.product, at);
                    findings.push(format!("{place}: {name} names no thing of this domain"));
                }
            }
        }
    }
    findings
}

pub(super) fn loose_ends(sources: &[Source]) -> Vec<Finding> {
    // In two parts, or this file would find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let ignored = concat!("#[", "ignore");
    let mut findings = Vec::new();
    for source in sources {
        for word in words {
            for at in places(&source.text, word) {
                findings.push(format!(
                    "{}: {word}: do it, or write an issue",
                    source.place(&source.text, at)
                ));
            }
        }
        if let Some(at) = source.text.find(ignored) {
            findings.push(format!(
                "{}: a test that never runs proves nothing",
                source.place(&source.text, at)
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::planted;
    use super::*;

    const HEADER: &str = "#![deny(\n clippy::cast_possible_truncation, clippy::expect_used, clippy::indexing_slicing,\n \
        clippy::panic, clippy::unreachable, clippy::unwrap_used,\n reason = \"decodes bytes from outside\"\n)]\n";

    #[test]
    fn unsafe_code_is_found_also_in_tests() {
        assert_eq!(
            unsafe_code(&planted("crates/a/src/b.rs", "fn f() { unsafe { g() } }")).len(),
            1
        );
        assert_eq!(
            unsafe_code(&planted("crates/a/tests/b.rs", "unsafe impl Send for X {}")).len(),
            1
        );
        assert!(
            unsafe_code(&planted(
                "crates/a/src/b.rs",
                "#![deny(unsafe_code)] // unsafe"
            ))
            .is_empty()
        );
    }

    #[test]
    fn a_file_is_measured_in_lines_of_code() {
        let at_limit = "x;\n// comment\n\n".repeat(LINES_MAX);
        assert!(sizes(&planted("crates/a/src/b.rs", &at_limit)).is_empty());
        assert_eq!(
            sizes(&planted("crates/a/src/b.rs", &format!("{at_limit}y;"))).len(),
            1
        );
    }

    #[test]
    fn a_new_public_trait_is_found() {
        assert_eq!(
            traits(&planted("crates/a/src/b.rs", "pub trait Surprise {}")).len(),
            1
        );
        assert!(
            traits(&planted(
                "crates/a/src/b.rs",
                "pub trait Storage: Send {}\npub(crate) trait Mine {}"
            ))
            .is_empty()
        );
    }

    #[test]
    fn a_decoder_without_its_header_is_found() {
        let body = "pub fn decode(bytes: &[u8], limits: &Limits) -> Result<X> { y }";
        assert_eq!(decoders(&planted("crates/a/src/b.rs", body)).len(), 1);
        assert!(decoders(&planted("crates/a/src/b.rs", &format!("{HEADER}{body}"))).is_empty());
        let lacking = HEADER.replace("clippy::panic, ", "");
        assert_eq!(
            decoders(&planted("crates/a/src/b.rs", &format!("{lacking}{body}"))).len(),
            1
        );
        assert_eq!(decoders(&planted(MORE_DECODERS[0], "fn f() {}")).len(), 1);
        let keeps = "struct Reader<'a> { limits: &'a Limits }";
        assert_eq!(decoders(&planted("crates/a/src/b.rs", keeps)).len(), 1);
        assert!(decoders(&planted("crates/a/src/b.rs", "fn f(limits: Limits) {}")).is_empty());
    }

    #[test]
    fn hierarchies_and_loose_ends_are_found() {
        for text in [
            "struct BaseRecord;",
            "pub enum SyncManager {}",
            "trait RowFactory {}",
        ] {
            assert_eq!(
                names(&planted("crates/a/src/b.rs", text)).len(),
                1,
                "{text}"
            );
        }
        assert!(
            names(&planted(
                "crates/a/src/b.rs",
                "struct Based; enum Base64 {}"
            ))
            .is_empty()
        );
        assert_eq!(names(&planted("crates/a/src/b/mod.rs", "")).len(), 1);
        let later = concat!("// TO", "DO: later");
        assert_eq!(loose_ends(&planted("crates/a/src/b.rs", later)).len(), 1);
        let ignored = concat!("#[", "ignore]\nfn f() {}");
        assert_eq!(loose_ends(&planted("crates/a/src/b.rs", ignored)).len(), 1);
    }
}
