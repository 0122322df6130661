//! The report that people read.

use std::io::Write;
use std::time::Duration;

use common::Result;

use super::queries::Asked;
use super::{features, search, sync};
use crate::terminal::Paint;

pub(super) fn print(
    out: &mut dyn Write,
    sync: &sync::Facts,
    queries: &[Asked],
    search: &search::Facts,
    features: &features::Facts,
    seconds: f64,
    paint: Paint,
) -> Result<()> {
    writeln!(
        out,
        "{}\n",
        paint.bold("TandemDB, measured on this machine just now")
    )?;
    print_sync(out, sync, paint)?;
    print_queries(out, queries, paint)?;
    print_search(out, search, paint)?;
    print_features(out, features, paint)?;
    writeln!(
        out,
        "All of it took {seconds:.1} s. The same facts as JSON: tandem demo --json"
    )?;
    Ok(())
}

fn print_sync(out: &mut dyn Write, facts: &sync::Facts, paint: Paint) -> Result<()> {
    writeln!(out, "{}", paint.bold("1. Rows that travel"))?;
    writeln!(
        out,
        "   One server and two replicas, anna and ben, three processes that talk HTTP on this machine.\n"
    )?;
    let initial = facts.initial.bytes_up + facts.initial.bytes_down;
    writeln!(
        out,
        "   First sync        {} rows in {}, {} round trips",
        count(facts.initial.rows_received),
        time(facts.initial_time),
        facts.initial.round_trips
    )?;
    writeln!(
        out,
        "                     {} for each replica; as JSON the same rows are {} ({})",
        bytes(initial),
        bytes(facts.json_bytes),
        percent(initial, facts.json_bytes)
    )?;
    writeln!(
        out,
        "   Apart             anna edits {} rows, ben {}; neither talks to the server",
        facts.edited[0], facts.edited[1]
    )?;
    for (i, (who, synced)) in facts.increments.iter().enumerate() {
        writeln!(
            out,
            "   {}{who:<6} sends {:>3} rows, gets {:>3}; {:>7} up, {:>7} down, {} round trip{}",
            if i == 0 {
                "Together again    "
            } else {
                "                  "
            },
            synced.rows_sent,
            synced.rows_received,
            bytes(synced.bytes_up),
            bytes(synced.bytes_down),
            synced.round_trips,
            if synced.round_trips == 1 { "" } else { "s" }
        )?;
    }
    let incremental = facts.incremental_bytes();
    writeln!(
        out,
        "                     {} in all (without HTTP headers), {} of the full data as JSON, in {}",
        bytes(incremental),
        percent(incremental, facts.json_bytes),
        time(facts.incremental_time)
    )?;
    for conflict in &facts.conflicts {
        let base = conflict
            .base
            .as_deref()
            .map_or(String::new(), |base| format!(" (it was {base})"));
        writeln!(
            out,
            "   Conflict          {}, {}{base}:",
            facts.city,
            conflict.column.as_deref().unwrap_or("whole row"),
        )?;
        let server = match conflict.server_replica.as_str() {
            "" => "the server",
            name => name,
        };
        let winner = if conflict.winner == "client" {
            &conflict.client_replica
        } else {
            server
        };
        writeln!(
            out,
            "                     {server} wrote {}, {} wrote {}; {} stands, by the rule {}",
            conflict.server,
            conflict.client_replica,
            conflict.client,
            paint.bold(format!("{winner}'s")),
            conflict.rule
        )?;
        writeln!(
            out,
            "                     both values are kept in the ledger on the server"
        )?;
    }
    let verdict = if facts.converged {
        paint.green("converged: server, its file, anna and ben hold the same rows")
    } else {
        paint.bold("NOT CONVERGED")
    };
    writeln!(out, "   Digests           {verdict}")?;
    writeln!(
        out,
        "                     {} rows, {}; the server's file has {}\n",
        count(facts.rows),
        paint.dim(&facts.digest),
        bytes(facts.file_bytes)
    )?;
    Ok(())
}

fn print_queries(out: &mut dyn Write, queries: &[Asked], paint: Paint) -> Result<()> {
    writeln!(out, "{}\n", paint.bold("2. Questions"))?;
    for asked in queries {
        writeln!(
            out,
            "   {} {}",
            asked.what,
            paint.dim(format!("({})", time(asked.time)))
        )?;
        if !asked.answer.is_empty() {
            writeln!(out, "     {}", asked.answer)?;
        }
        for line in asked.plan.lines() {
            writeln!(out, "     {}", paint.dim(line))?;
        }
        let read = format!(
            "  {} rows read, {} in the answer",
            asked.read, asked.returned
        );
        writeln!(out, "     {}\n", paint.dim(read))?;
    }
    Ok(())
}

fn print_search(out: &mut dyn Write, facts: &search::Facts, paint: Paint) -> Result<()> {
    writeln!(out, "{}", paint.bold("3. Vectors that answer"))?;
    writeln!(
        out,
        "   {} handwritten digits of {} pixels, added in {}. Each is looked up among all others.\n",
        count(facts.vectors as u64),
        facts.dimension,
        time(facts.insert_time)
    )?;
    if let Some(example) = &facts.example {
        print_example(out, example, paint)?;
    }
    writeln!(
        out,
        "   {} searches, {} each; {:.2} % of the true 10 nearest found",
        count(facts.queries as u64),
        time(facts.search_time),
        facts.recall * 100.0
    )?;
    writeln!(
        out,
        "   {} of the digits are what most of their 10 neighbours are\n",
        paint.green(format!("{:.2} %", facts.accuracy * 100.0))
    )?;
    Ok(())
}

fn print_features(out: &mut dyn Write, facts: &features::Facts, paint: Paint) -> Result<()> {
    writeln!(
        out,
        "{}",
        paint.bold("4. Features that training and serving agree on")
    )?;
    writeln!(
        out,
        "   People and country of {} cities, added in {}; a city is served as {} numbers.\n",
        count(facts.cities as u64),
        time(facts.load_time),
        count(facts.numbers as u64)
    )?;
    writeln!(
        out,
        "   One city          read and transformed in {}; {} of them in {}",
        short_time(facts.read_time),
        count(facts.batch as u64),
        time(facts.batch_time)
    )?;
    let verdict = if facts.agrees && facts.is_same {
        paint.green("the same bytes as before the count, and as the table transformed row by row")
    } else {
        paint.bold("NOT THE SAME")
    };
    writeln!(
        out,
        "   Training set      {}, as of July; {} cities are counted again in December",
        paint.dim(&facts.training_set),
        count((facts.events - facts.cities) as u64)
    )?;
    writeln!(out, "   Made again        {verdict}")?;
    writeln!(
        out,
        "   Experiment        a tenth of {} visitors, {:.1} % of them see the second variant; grown to a half, {} moved\n",
        count(facts.units),
        facts.share * 100.0,
        facts.moved
    )?;
    Ok(())
}

/// The vector and its three nearest, side by side, when they are square pictures.
fn print_example(out: &mut dyn Write, example: &search::Example, paint: Paint) -> Result<()> {
    let side = example.vector.len().isqrt();
    if side * side != example.vector.len() || !(4..=16).contains(&side) {
        return Ok(());
    }
    let shown = example.hits.iter().take(3);
    let pictures: Vec<&[f32]> = std::iter::once(example.vector.as_slice())
        .chain(shown.clone().map(|(_, _, vector)| vector.as_slice()))
        .collect();
    let brightest = pictures
        .iter()
        .flat_map(|p| p.iter())
        .copied()
        .fold(f32::MIN_POSITIVE, f32::max);
    let mut titles = vec![format!("a {}", example.label)];
    titles.extend(shown.map(|(label, distance, _)| format!("{label}, {distance:.1} away")));
    let width = side * 2;
    let titles: Vec<String> = titles
        .iter()
        .map(|title| format!("{title:width$}"))
        .collect();
    writeln!(out, "   {}", paint.bold(titles.join("   ").trim_end()))?;
    for row in 0..side {
        let lines: Vec<String> = pictures
            .iter()
            .map(|picture| {
                picture
                    .iter()
                    .skip(row * side)
                    .take(side)
                    .map(|p| shade(*p, brightest))
                    .collect()
            })
            .collect();
        writeln!(out, "   {}", lines.join("   ").trim_end())?;
    }
    writeln!(out)?;
    Ok(())
}

/// Two characters as dark as the pixel.
fn shade(pixel: f32, brightest: f32) -> &'static str {
    match pixel / brightest {
        part if part < 0.15 => "  ",
        part if part < 0.4 => "░░",
        part if part < 0.65 => "▒▒",
        part if part < 0.9 => "▓▓",
        _ => "██",
    }
}

/// A number with its thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "rounded for reading")]
fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{} B", count(number)),
        10_000..10_000_000 => format!("{} kB", count(number / 1_000)),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

#[expect(clippy::cast_precision_loss, reason = "rounded for reading")]
fn percent(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    if percent < 1.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.1} %")
    }
}

fn short_time(duration: Duration) -> String {
    match duration.as_nanos() {
        nanos @ 0..10_000 => format!("{nanos} ns"),
        _ => time(duration),
    }
}

fn time(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(34_006), "34,006");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(7), "7");
        assert_eq!(bytes(9_999), "9,999 B");
        assert_eq!(bytes(2_158_567), "2,158 kB");
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(percent(1, 8), "12.5 %");
        assert_eq!(time(Duration::from_micros(12)), "12 µs");
        assert_eq!(time(Duration::from_millis(1_500)), "1.50 s");
    }
}
