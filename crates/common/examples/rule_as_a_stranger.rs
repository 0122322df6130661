//! A validation rule from outside: the check digit of an article number (GTIN-13).
//!
//! The schema names the rule and travels as data; each side registers the check under that name. Run it with
//! `cargo run --example rule_as_a_stranger`.

use common::database::DatabaseOptions;
use common::schema::{Field, FieldType, Rule, RuleRegistry, Schema};
use common::{Database, Result, Value, row};

/// What is wrong with an article number, if anything.
pub(crate) fn article_number(value: &Value) -> Option<String> {
    let Some(text) = value.as_text() else {
        return Some("is not text".into());
    };
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(10)).collect();
    let digits = match digits {
        Some(digits) if digits.len() == 13 => digits,
        _ => return Some(format!("is {text:?}; expected 13 digits")),
    };
    let weighted = digits.iter().zip([1, 3].into_iter().cycle());
    let sum: u32 = weighted.map(|(digit, weight)| digit * weight).sum();
    (!sum.is_multiple_of(10)).then(|| format!("is {text}; its check digit is wrong"))
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
#[cfg_attr(test, expect(dead_code, reason = "tests use the check alone"))]
fn main() -> Result<()> {
    let mut rules = RuleRegistry::default();
    rules.register("gtin13", article_number);
    let db = Database::with(DatabaseOptions {
        rules,
        ..DatabaseOptions::default()
    });
    let schema = Schema::build("articles", ["number"])
        .field(Field::new("number", FieldType::Text).rule(Rule::Custom("gtin13".into())))
        .field(Field::new("stock", FieldType::Int).rule(Rule::at_least(0)))
        .finish()?;
    let articles = db.create_collection(schema)?;
    articles.insert(row! { "number": "4006381333931", "stock": 12 })?;

    let refused = articles.insert(row! { "number": "4006381333932", "stock": -1 });
    let Err(error) = refused else {
        return Err(common::Error::invalid("a wrong check digit was accepted"));
    };
    let broken: Vec<&str> = error.violations().iter().map(|v| v.rule.as_str()).collect();
    assert_eq!(broken, ["gtin13", "range"], "all broken rules at once");
    println!("{error}");
    Ok(())
}
