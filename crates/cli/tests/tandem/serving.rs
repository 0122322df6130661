//! `tandem serve` in a process of its own, asked by `curl`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::Place;

/// A running server; what it says is read as it comes, so that it never waits for a reader.
pub(crate) struct Serving {
    child: Child,
    /// Scheme, address and port.
    pub(crate) url: String,
    /// The first keys, with what the line says of whose they are.
    pub(crate) keys: Vec<(String, String)>,
    out: Said,
    log: Said,
}

/// What came of a stream so far.
struct Said {
    text: Arc<Mutex<String>>,
    reading: std::thread::JoinHandle<()>,
}

impl Said {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&text);
        let reading = std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                said.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { text, reading }
    }

    fn now(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits until `found` in what was said; fails when nothing more can come.
    #[track_caller]
    fn wait<T>(&self, found: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let is_over = self.reading.is_finished();
            let said = self.now();
            if let Some(found) = found(&said) {
                return found;
            }
            assert!(!is_over, "it has ended, and said:\n{said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Serving {
    /// On a free port.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::start_with(place, arguments, &[])
    }

    /// With something in its environment.
    pub(crate) fn start_with(
        place: &Place,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .arg("serve")
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--until-input-ends"])
            .current_dir(place.path("."))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = Said::of(child.stdout.take().unwrap());
        let log = Said::of(child.stderr.take().unwrap());
        let url = out.wait(|said| {
            let line = said.split_once("listening on ")?.1;
            Some(line.split_once('\n')?.0.to_owned())
        });
        let said = out.now();
        let keys = said.lines().filter_map(|line| {
            let line = line.strip_prefix("the first API key")?;
            let (whose, key) = line.split_once(", shown this once: ")?;
            Some((whose.trim_start_matches(" of ").to_owned(), key.to_owned()))
        });
        Self {
            keys: keys.collect(),
            child,
            url,
            out,
            log,
        }
    }

    /// The process.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Address and port.
    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// The first key of the only tenant.
    pub(crate) fn key(&self) -> &str {
        assert_eq!(self.keys.len(), 1);
        &self.keys[0].1
    }

    /// Status and body of a request by `curl`; the status is 0 when there was no answer.
    pub(crate) fn curl(&self, path: &str, key: &str, more: &[&str]) -> (u16, String) {
        let ran = Command::new("curl")
            .args(["-s", "--path-as-is", "-w", "\n%{http_code}"])
            .args(["-H", &format!("authorization: Bearer {key}")])
            .args(more)
            .arg(format!("{}{path}", self.url))
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    /// Sends a signal, as in `TERM`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until its log has a text `times` times.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn logged(&self, text: &str, times: usize) {
        self.log
            .wait(|said| (said.matches(text).count() >= times).then_some(()));
    }

    /// Whether its log has a text by now.
    #[cfg(unix)]
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log.now().contains(text)
    }

    /// Kills it.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it come to its end; what it said on standard output and in its log.
    pub(crate) fn end(mut self) -> (String, String) {
        drop(self.child.stdin.take());
        self.ended()
    }

    /// Waits for the end that it was told of otherwise.
    pub(crate) fn ended(mut self) -> (String, String) {
        let status = self.child.wait().unwrap();
        self.out.reading.join().unwrap();
        self.log.reading.join().unwrap();
        let said = |text: Arc<Mutex<String>>| text.lock().unwrap().clone();
        let (out, log) = (said(self.out.text), said(self.log.text));
        assert!(status.success(), "{status}\n{out}\n{log}");
        (out, log)
    }
}
