//! CSV files: a header, then one row a record; fields in quotes may hold delimiters and line ends.

#![deny(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "decodes bytes from outside"
)]

use std::collections::HashSet;
use std::ops::ControlFlow;

use common::{Error, Result};

use super::{Cell, Options, Refusal, Source, Visit};

/// Delimiters that are recognised by themselves.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

pub(crate) struct CsvSource {
    bytes: Vec<u8>,
    delimiter: u8,
    columns: Vec<String>,
    has_header: bool,
    /// Whether nothing between quotes is told from nothing at all.
    quoted_empty: bool,
}

pub(crate) fn open(bytes: Vec<u8>, options: &Options, tabs: bool) -> Result<CsvSource> {
    let delimiter = match options.delimiter {
        Some(delimiter) => delimiter,
        None if tabs => b'\t',
        None => guess_delimiter(&bytes),
    };
    let mut source = CsvSource {
        bytes,
        delimiter,
        columns: Vec::new(),
        has_header: !options.no_header,
        quoted_empty: options.quoted_empty,
    };
    let mut first = csv::ByteRecord::new();
    let found = source.reader().read_byte_record(&mut first);
    if !found.map_err(|e| Error::invalid(e.to_string()))? {
        return Err(Error::invalid(
            "the file is empty; a CSV file begins with a line that names the columns",
        ));
    }
    if options.no_header {
        source.columns = (1..=first.len()).map(|i| format!("c{i}")).collect();
        return Ok(source);
    }
    let mut known = HashSet::with_capacity(first.len());
    for (i, name) in first.iter().enumerate() {
        let name = std::str::from_utf8(name)
            .map_err(|_| Error::invalid(not_utf8(1, &format!("name of column {}", i + 1))))?
            .trim();
        if name.is_empty() {
            return Err(Error::invalid(format!(
                "line 1: column {} has no name; name every column in the first line, or use \
                 --no-header if the first line is a row",
                i + 1
            )));
        }
        if !known.insert(name) {
            return Err(Error::invalid(format!(
                "line 1: two columns are named `{name}`; rename one of them"
            )));
        }
        source.columns.push(name.to_owned());
    }
    Ok(source)
}

fn not_utf8(line: u64, place: &str) -> String {
    format!("line {line}: the {place} is not UTF-8 text; save the file in the encoding UTF-8")
}

/// The delimiter that the first line has most of, outside quotes; a comma if it has none.
fn guess_delimiter(bytes: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in bytes.iter().take_while(|byte| **byte != b'\n') {
        quoted ^= *byte == b'"';
        for (delimiter, count) in DELIMITERS.iter().zip(&mut counts) {
            *count += usize::from(!quoted && delimiter == byte);
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let best = DELIMITERS
        .iter()
        .zip(counts)
        .find(|(_, count)| *count == most);
    best.map_or(b',', |(delimiter, _)| *delimiter)
}

impl CsvSource {
    fn reader(&self) -> csv::Reader<&[u8]> {
        // The library's own check of the number of fields cannot be skipped over, ours can.
        csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .from_reader(self.text())
    }

    /// The file without the mark that some programs put in front of UTF-8.
    fn text(&self) -> &[u8] {
        self.bytes
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&self.bytes)
    }

    /// Line and byte at which a record begins. The library says where it began to look for it: before the line feed
    /// that ends the record before, and before empty lines.
    fn begin(&self, position: &csv::Position) -> (u64, u64) {
        let from = usize::try_from(position.byte()).unwrap_or(usize::MAX);
        let rest = self.text().get(from..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        ends.fold((position.line(), position.byte()), |(line, at), byte| {
            (line + u64::from(*byte == b'\n'), at + 1)
        })
    }

    /// Which fields of the record from `start` on stand in quotes: the library does not say.
    fn quoted(&self, start: u64) -> Vec<bool> {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        let mut rest = self.text().get(start..).unwrap_or_default();
        let mut found = Vec::with_capacity(self.columns.len());
        loop {
            let quoted = rest.first() == Some(&b'"');
            found.push(quoted);
            let mut inside = false;
            let end = rest.iter().position(|byte| {
                inside ^= quoted && *byte == b'"';
                !inside && (*byte == self.delimiter || matches!(byte, b'\n' | b'\r'))
            });
            match end.and_then(|end| rest.split_at_checked(end)) {
                Some((_, [end, after @ ..])) if *end == self.delimiter => rest = after,
                _ => return found,
            }
        }
    }

    /// Whether the record from `start` to the end of the file has a quote that is never closed: the library
    /// takes the end of the file for its end.
    fn is_unclosed(&self, start: u64) -> bool {
        let mut at_field_start = true;
        let mut quoted = false;
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        for byte in self.text().get(start..).unwrap_or_default() {
            match byte {
                // Leaving quotes and entering them again at once is how a doubled quote looks here.
                b'"' if quoted || at_field_start => quoted = !quoted,
                _ if quoted => {}
                byte => {
                    at_field_start = *byte == self.delimiter || matches!(byte, b'\n' | b'\r');
                    continue;
                }
            }
            // Right after a closing quote, a further quote continues the field.
            at_field_start = *byte == b'"';
        }
        quoted
    }
}

impl Source for CsvSource {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn each(&self, visit: Visit<'_>) -> Result<()> {
        let mut reader = self.reader();
        let mut record = csv::ByteRecord::new();
        let mut skip_header = self.has_header;
        loop {
            let more = reader.read_byte_record(&mut record);
            if !more.map_err(|e| Error::invalid(e.to_string()))? {
                return Ok(());
            }
            if std::mem::take(&mut skip_header) {
                continue;
            }
            let (line, start) = record.position().map_or((0, 0), |p| self.begin(p));
            let next_line = reader.position().line();
            let is_last = reader.position().byte() >= self.text().len() as u64;
            let cells = if is_last && self.is_unclosed(start) {
                Err(
                    Refusal::row(line, "a quote (\") is opened and never closed")
                        .remedy("close it, or double it if it is part of the text"),
                )
            } else {
                self.cells(&record, (line, start), next_line)
            };
            if let ControlFlow::Break(()) = visit(line, cells.as_deref().map_err(Clone::clone)) {
                return Ok(());
            }
        }
    }
}

impl CsvSource {
    fn cells<'r>(
        &self,
        record: &'r csv::ByteRecord,
        (line, start): (u64, u64),
        next_line: u64,
    ) -> Result<Vec<Cell<'r>>, Refusal> {
        if record.len() != self.columns.len() {
            let mut message = format!(
                "the row has {}, the first line has {}",
                fields(record.len()),
                fields(self.columns.len())
            );
            if next_line > line + 2 {
                let last = next_line - 1;
                let hint = format!("the row goes on until line {last}: is a quote missing?");
                message = format!("{message} ({hint})");
            }
            let remedy = if record.len() > self.columns.len() {
                "put text that contains the delimiter in quotes"
            } else {
                "add the missing fields, empty ones for values that are not known"
            };
            return Err(Refusal::row(line, message).remedy(remedy));
        }
        let some_empty = self.quoted_empty && record.iter().any(<[u8]>::is_empty);
        let mut quoted = if some_empty {
            self.quoted(start)
        } else {
            Vec::new()
        }
        .into_iter();
        let cells = record.iter().zip(&self.columns).map(|(field, column)| {
            if quoted.next() == Some(true) && field.is_empty() {
                return Ok(Cell::Quoted);
            }
            std::str::from_utf8(field).map(Cell::Text).map_err(|_| {
                Refusal::cell(line, column, "the text is not UTF-8")
                    .remedy("save the file in the encoding UTF-8")
            })
        });
        cells.collect()
    }
}

fn fields(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        _ => format!("{count} fields"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<Result<Vec<String>, String>> {
        let source = open(text.as_bytes().to_vec(), &Options::default(), false).unwrap();
        let mut rows = Vec::new();
        let mut visit = |_, cells: Result<&[Cell<'_>], Refusal>| {
            rows.push(match cells {
                Ok(cells) => Ok(cells
                    .iter()
                    .map(|cell| match cell {
                        Cell::Text(text) => (*text).to_owned(),
                        other => format!("{other:?}"),
                    })
                    .collect()),
                Err(refusal) => Err(refusal.to_string()),
            });
            ControlFlow::Continue(())
        };
        source.each(&mut visit).unwrap();
        rows
    }

    fn ok(cells: &[&str]) -> Result<Vec<String>, String> {
        let cells: Result<_, String> = cells.iter().map(|cell| Ok((*cell).to_owned())).collect();
        cells
    }

    #[test]
    fn quotes_delimiters_and_byte_order_mark() {
        assert_eq!(
            rows("\u{feff}a,b\n1,\"x, \"\"y\"\"\"\n"),
            [ok(&["1", "x, \"y\""])]
        );
        assert_eq!(rows("a;b\r\n1;2,5\r\n"), [ok(&["1", "2,5"])]);
        assert_eq!(rows("a\tb\n1\t\n"), [ok(&["1", ""])]);
        assert_eq!(rows("\"a,x\"|b\n1|2\n"), [ok(&["1", "2"])]);
        assert_eq!(rows("a,b\n\"1\",\"2\nlines\""), [ok(&["1", "2\nlines"])]);
    }

    #[test]
    fn lines_are_counted_over_empty_ones_and_line_ends_of_two_bytes() {
        let source = open(
            b"a,b\r\n\r\n1,2\r\n3\r\n".to_vec(),
            &Options::default(),
            false,
        )
        .unwrap();
        let mut lines = Vec::new();
        source
            .each(&mut |line, cells| {
                lines.push((line, cells.is_ok()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(lines, [(3, true), (4, false)]);
    }

    #[test]
    fn nothing_between_quotes_is_told_from_nothing_if_asked_for() {
        let text = b"a,b,c\n,\"\",\"x,\"\"\n\"\"\"\r\n\"\",\"a\"\"\",\n";
        let cells = |quoted_empty: bool| {
            let options = Options {
                quoted_empty,
                ..Options::default()
            };
            let source = open(text.to_vec(), &options, false).unwrap();
            let mut found = Vec::new();
            source
                .each(&mut |_, cells| {
                    let cells = cells.unwrap().iter();
                    found.extend(cells.map(|cell| format!("{cell:?}")));
                    ControlFlow::Continue(())
                })
                .unwrap();
            found
        };
        let (nothing, quoted) = (r#"Text("")"#, "Quoted");
        let (first, second) = (r#"Text("x,\"\n\"")"#, r#"Text("a\"")"#);
        assert_eq!(
            cells(true),
            [nothing, quoted, first, quoted, second, nothing]
        );
        assert_eq!(
            cells(false),
            [nothing, nothing, first, nothing, second, nothing]
        );
    }

    #[test]
    fn wrong_rows_say_line_and_reason() {
        assert_eq!(
            rows("a,b\n1\n2,3\n"),
            [
                Err("line 2: the row has 1 field, the first line has 2 fields".to_owned()),
                ok(&["2", "3"])
            ]
        );
        assert_eq!(
            rows("a,b\n\"1,2\n3,4\n5\",6,7\n"),
            [Err(
                "line 2: the row has 3 fields, the first line has 2 fields (the row goes on until \
                 line 4: is a quote missing?)"
                    .to_owned()
            )]
        );
        assert_eq!(
            rows("a,b\n1,2\n3,\"4\n5,6\n"),
            [
                ok(&["1", "2"]),
                Err("line 3: a quote (\") is opened and never closed".to_owned())
            ]
        );
        // Not quotes in the sense of CSV: they stand inside a field, or are doubled.
        assert_eq!(rows("a,b\n1,5\" pipe\n"), [ok(&["1", "5\" pipe"])]);
        assert_eq!(rows("a,b\n1,\"5\"\"\"\n"), [ok(&["1", "5\""])]);
    }
}
