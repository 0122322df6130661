//! Which packages an entry of deny.toml names: `name`, `name@1.2.3`, `name:<1.2.3`.

/// Whether `entry` means the package `name` in `version`.
pub(crate) fn matches(entry: &str, name: &str, version: &str) -> bool {
    if let Some((of, exact)) = entry.split_once('@') {
        return of == name && exact == version;
    }
    match entry.split_once(':') {
        None => entry == name,
        Some((of, below)) => {
            of == name
                && below
                    .strip_prefix('<')
                    .is_some_and(|below| numbers(version) < numbers(below))
        }
    }
}

/// `1.2.3-rc.1+x` as `[1, 2, 3]`: a pre-release counts as its release.
fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or(version);
    release
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn entries_name_packages() {
        for (entry, expected) in [
            ("a", true),
            ("b", false),
            ("a@1.10.0", true),
            ("a@1.1.0", false),
            ("a:<1.10.1", true),
            ("a:<1.9.0", false),
            ("a:<1.10.0", false),
            ("b:<9.0.0", false),
        ] {
            assert_eq!(matches(entry, "a", "1.10.0"), expected, "{entry}");
        }
    }
}
