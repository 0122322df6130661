//! What a part of the product never does.

use super::Finding;
use super::paths::named;
use super::source::{Source, places};

struct Absence {
    /// The folder in which this holds ...
    folder: &'static str,
    /// ... but for these files.
    except: &'static [&'static str],
    /// Paths, each also forbidden as the beginning of a longer one.
    paths: &'static [&'static str],
    /// Words, wherever they stand.
    words: &'static [&'static str],
    why: &'static str,
}

const ABSENCES: &[Absence] = &[
    Absence {
        folder: "crates/common/src",
        except: &[],
        paths: &[
            "std::fs",
            "std::net",
            "std::process",
            "std::env",
            "std::os",
            "std::io::stdin",
            "std::io::stdout",
        ],
        words: &["println!", "eprintln!", "print!", "eprint!"],
        why: "common does no input and no output",
    },
    Absence {
        folder: "crates/common/src",
        except: &[],
        paths: &["std::thread", "tokio", "rayon", "async_std", "smol"],
        words: &["async", "await"],
        why: "common starts no thread and has no async code",
    },
    Absence {
        folder: "crates/common/src",
        except: &["crates/common/src/utils/time.rs"],
        paths: &[
            "std::time::SystemTime",
            "std::time::Instant",
            "jiff::Timestamp::now",
            "jiff::Zoned::now",
        ],
        words: &[],
        why: "common reads no clock but through `utils::time::Clock`",
    },
    Absence {
        folder: "crates/syncdb/src/sync",
        except: &[],
        paths: &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
            "tokio",
            "reqwest",
            "hyper",
            "axum",
        ],
        words: &["async", "await", "SystemClock"],
        why: "the sync core opens no socket, reads no clock and spawns nothing",
    },
    Absence {
        folder: "crates/syncdb/src/power",
        except: &[],
        paths: &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::time::SystemTime",
            "std::time::Instant",
            "tokio",
        ],
        words: &["async", "await", "SystemClock"],
        why: "power reads no clock, opens no socket and spawns nothing",
    },
    Absence {
        folder: "crates/syncdb/src",
        except: &[],
        paths: &["vectordb", "tandemdb_vectordb"],
        words: &[],
        why: "neither rider knows the other",
    },
    Absence {
        folder: "crates/vectordb/src",
        except: &[],
        paths: &["syncdb", "tandemdb_syncdb"],
        words: &[],
        why: "neither rider knows the other",
    },
];

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for absence in ABSENCES {
        let roots: Vec<&str> = absence
            .paths
            .iter()
            .filter_map(|path| path.split("::").next())
            .collect();
        for source in sources.iter().filter(|source| source.is_in(absence.folder)) {
            if absence.except.iter().any(|file| source.is_in(file)) {
                continue;
            }
            let mut say = |what: &str, at: usize| {
                let place = source.place(&source.product, at);
                let finding = format!("{place}: `{what}`, but {}", absence.why);
                if findings.last() != Some(&finding) {
                    findings.push(finding);
                }
            };
            let mut roots = roots.clone();
            roots.sort_unstable();
            roots.dedup();
            for path in named(source, &roots) {
                let path_text = path.segments.join("::");
                let is = |forbidden: &&&str| {
                    path_text == **forbidden
                        || path_text
                            .strip_prefix(**forbidden)
                            .is_some_and(|rest| rest.starts_with("::"))
                };
                if let Some(forbidden) = absence.paths.iter().find(is) {
                    say(forbidden, path.at);
                }
            }
            for word in absence.words {
                for at in places(&source.product, word) {
                    say(word, at);
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::planted;
    use super::*;

    #[track_caller]
    fn finds(path: &str, text: &str, count: usize) {
        let findings = check(&planted(path, text));
        assert_eq!(findings.len(), count, "{findings:?}");
    }

    #[test]
    fn each_absence_can_fail() {
        let common = "crates/common/src/core/x.rs";
        finds(common, "use std::fs;", 1);
        finds(common, "use std::{fmt, net::TcpStream};", 1);
        finds(common, "fn f() { std::thread::spawn(g); }", 1);
        finds(common, "use tokio::sync::Mutex;", 1);
        finds(common, "use std::time::{Duration, SystemTime};", 1);
        finds(common, "async fn f() {}", 1);
        finds(common, "fn f() { println!(); }", 1);
        finds(
            "crates/syncdb/src/sync/session.rs",
            "use std::net::TcpStream;",
            1,
        );
        finds(
            "crates/syncdb/src/sync/session.rs",
            "use std::time::Instant;",
            1,
        );
        finds("crates/syncdb/src/sync.rs", "", 0);
        finds(
            "crates/syncdb/src/sync/session.rs",
            "use common::utils::time::SystemClock;",
            1,
        );
        finds("crates/syncdb/src/db.rs", "use vectordb::VectorDb;", 1);
        finds("crates/vectordb/src/db.rs", "use syncdb::SyncDb;", 1);
    }

    #[test]
    fn what_is_allowed_is_silent() {
        finds(
            "crates/common/src/utils/time.rs",
            "use std::time::SystemTime;",
            0,
        );
        finds(
            "crates/common/src/core/x.rs",
            "use std::time::Duration; // std::fs\nlet s = \"std::net\";",
            0,
        );
        finds(
            "crates/common/src/core/x.rs",
            "#[cfg(test)]\nmod tests { use std::thread; }",
            0,
        );
        finds(
            "crates/common/src/core/x.rs",
            "mod print; pub use print::text;",
            0,
        );
        finds(
            "crates/syncdb/src/client/http.rs",
            "use std::net::TcpStream;",
            0,
        );
        finds("crates/common/tests/x.rs", "use std::thread;", 0);
    }
}
