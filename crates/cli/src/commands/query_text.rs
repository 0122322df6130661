//! Cuts lists and phrases of the command line into their parts, leaving names in backticks whole.

/// The parts between commas that stand outside parentheses and backticks.
pub(crate) fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut quoted) = (0, 0_usize, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'`' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default().trim());
    parts
}

/// Position and text of each word, between white space that stands outside backticks.
pub(crate) fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let (mut start, mut quoted) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        quoted ^= byte == b'`';
        if byte.is_ascii_whitespace() && !quoted {
            words.extend(
                start
                    .take()
                    .and_then(|from| Some((from, text.get(from..at)?))),
            );
        } else if start.is_none() {
            start = Some(at);
        }
    }
    words.extend(start.and_then(|from| Some((from, text.get(from..)?))));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_spaces_inside_names_and_calls_do_not_cut() {
        assert_eq!(parts("a, sum(b, c),`d,e`"), ["a", "sum(b, c)", "`d,e`"]);
        assert_eq!(parts(""), [""]);
        assert_eq!(words("  a  as `b c` "), [(2, "a"), (5, "as"), (8, "`b c`")]);
        assert_eq!(words("é x"), [(0, "é"), (3, "x")]);
    }
}
