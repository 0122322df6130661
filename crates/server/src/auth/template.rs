//! [`Template`]: a filter with claims in it, such as `owner == claims.sub`.

use common::query::{Filter, Path};
use common::schema::{FieldType, Schema};
use common::{Error, Map, Result, Text, Value};

/// Longest text of a template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 16 << 10;

/// A filter in which claims of the principal stand for values: `owner == claims.sub`, `region in claims.regions`.
///
/// The text is that of [`Filter::parse`]. `claims.name` stands where a value may stand; names of parts follow with dots. After
/// `in`, a claim that is a list stands for its elements.
///
/// ```
/// use common::schema::{Field, FieldType, Schema};
/// use common::{Map, Value};
/// use server::auth::Template;
/// let tasks = Schema::build("tasks", ["id"])
///     .field(Field::new("id", FieldType::Int))
///     .field(Field::new("owner", FieldType::Text))
///     .field(Field::new("region", FieldType::Text))
///     .finish()?;
/// let template = Template::parse("owner == claims.sub or region in claims.regions")?;
/// template.check(&tasks)?;
/// let regions = Value::from(vec![Value::from("north"), Value::from("south")]);
/// let claims = Map::from([("sub".into(), "alice".into()), ("regions".into(), regions)]);
/// let filter = template.bind(&claims, &tasks).unwrap();
/// assert_eq!(filter.to_string(), "owner == 'alice' or region in ('north', 'south')");
/// // A claim that is missing: no rows.
/// assert!(template.bind(&Map::new(), &tasks).is_none());
/// # Ok::<(), common::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    filter: Filter,
    /// Which claim each parameter is: the names on the way to it.
    claims: Vec<Vec<Text>>,
}

impl Template {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`common::ErrorKind::Invalid`] for what is no filter, with the place in the text after claims were replaced by parameters;
    /// [`common::ErrorKind::LimitExceeded`] for more than 16 KiB.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "a row filter has at most {TEMPLATE_BYTES_MAX} bytes"
            )));
        }
        let (text, claims) = replace_claims(text)?;
        let filter = Filter::parse(&text).map_err(|error| error.at(format!("`{text}`")))?;
        Ok(Self { filter, claims })
    }

    /// Checks that the template fits a table, whoever asks: its columns are there, and what they are compared with is of their
    /// types. What a claim will be is not known before.
    ///
    /// # Errors
    /// [`common::ErrorKind::NotFound`] for an unknown column; [`common::ErrorKind::Invalid`] for a value of another type, and
    /// for a claim beside a column that no claim can be: bytes, vectors, the application's own types.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        let filter = self.with(&mut |_, path| {
            let field = schema.fields.iter().find(|field| field.name == path.column);
            let never = field.filter(|field| {
                let ty = &field.ty;
                path.parts.is_empty()
                    && matches!(
                        ty,
                        FieldType::Bytes | FieldType::Vector { .. } | FieldType::Extension(_)
                    )
            });
            match never {
                Some(field) => Err(Error::invalid(format!(
                    "`{path}` is {}, which no claim can be compared with",
                    field.ty
                ))),
                None => Ok(Some(Value::Null)),
            }
        })?;
        let filter = filter.unwrap_or_default();
        filter.compile(schema).map(drop)
    }

    /// The filter for somebody with these claims; `None`, which means no rows, when a claim is missing or of a type that
    /// the column is not compared with.
    pub fn bind(&self, claims: &Map, schema: &Schema) -> Option<Filter> {
        let bound = self.with(&mut |claim, _| Ok(find(claims, claim).cloned()));
        let bound = bound.ok().flatten()?;
        bound.compile(schema).ok()?;
        Some(bound)
    }

    /// The filter with a value for every claim; `None` when one has none.
    fn with(
        &self,
        value_of: &mut dyn FnMut(&[Text], &Path) -> Result<Option<Value>>,
    ) -> Result<Option<Filter>> {
        if self.claims.is_empty() {
            return Ok(Some(self.filter.clone()));
        }
        let mut filter = self.filter.clone();
        let is_whole = self.fill(&mut filter, value_of)?;
        Ok(is_whole.then_some(filter))
    }

    /// Replaces the parameters of a filter; whether each had a value.
    fn fill(
        &self,
        filter: &mut Filter,
        value_of: &mut dyn FnMut(&[Text], &Path) -> Result<Option<Value>>,
    ) -> Result<bool> {
        let mut is_whole = true;
        let mut put = |path: &Path, value: &mut Value| -> Result<bool> {
            let Some(claim) = self.claim_of(value) else {
                return Ok(false);
            };
            match value_of(claim, path)? {
                Some(found) => *value = found,
                None => is_whole = false,
            }
            Ok(true)
        };
        match filter {
            Filter::Compare { path, value, .. } | Filter::Contains { path, value } => {
                put(path, value)?;
            }
            Filter::Between { path, low, high } => {
                put(path, low)?;
                put(path, high)?;
            }
            Filter::In { path, values } => {
                let mut listed = Vec::with_capacity(values.len());
                for mut value in std::mem::take(values) {
                    match (put(path, &mut value)?, value) {
                        (true, Value::List(items)) => listed.extend(items.iter().cloned()),
                        (_, value) => listed.push(value),
                    }
                }
                *values = listed;
            }
            Filter::And(parts) | Filter::Or(parts) => {
                for part in parts {
                    is_whole &= self.fill(part, value_of)?;
                }
            }
            Filter::Not(part) => is_whole = self.fill(part, value_of)?,
            _ => {}
        }
        Ok(is_whole)
    }

    fn claim_of(&self, value: &Value) -> Option<&[Text]> {
        let position = (0..self.claims.len()).find(|at| *value == Filter::param(name(*at)))?;
        self.claims.get(position).map(Vec::as_slice)
    }
}

/// The name of the parameter that stands for a claim.
fn name(claim: usize) -> String {
    format!("claim{claim}")
}

/// The value at the end of a way of names. A null is none.
fn find<'c>(claims: &'c Map, way: &[Text]) -> Option<&'c Value> {
    let (first, rest) = way.split_first()?;
    let mut value = claims.get(first)?;
    for name in rest {
        let Value::Map(map) = value else {
            return None;
        };
        value = map.get(name)?;
    }
    (!value.is_null()).then_some(value)
}

/// The text with a parameter for every claim, in brackets where it follows `in`.
fn replace_claims(text: &str) -> Result<(String, Vec<Vec<Text>>)> {
    let mut out = String::with_capacity(text.len());
    let mut claims: Vec<Vec<Text>> = Vec::new();
    let mut rest = text;
    let mut before = Before::Other;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\'' | '"' | '`' => {
                let inside = rest.get(1..).unwrap_or_default();
                inside.find(first).map_or(rest.len(), |end| end + 2)
            }
            '$' => {
                return Err(Error::invalid(
                    "a row filter has no parameters of its own; `claims.name` is a claim of who asks",
                ));
            }
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (word, after) = rest.split_at(taken);
        let is_claim = word == "claims" && before != Before::Dot && after.starts_with('.');
        if is_claim {
            let (way, end) = way_of(after)?;
            let number = claims.iter().position(|known| *known == way);
            let number = number.unwrap_or_else(|| {
                claims.push(way);
                claims.len() - 1
            });
            let parameter = format!("${}", name(number));
            if before == Before::In {
                out.push_str(&format!("({parameter})"));
            } else {
                out.push_str(&parameter);
            }
            before = Before::Other;
            rest = end;
            continue;
        }
        out.push_str(word);
        if !first.is_whitespace() {
            before = match word {
                "." => Before::Dot,
                word if word.eq_ignore_ascii_case("in") => Before::In,
                _ => Before::Other,
            };
        }
        rest = after;
    }
    Ok((out, claims))
}

#[derive(PartialEq, Eq)]
enum Before {
    Dot,
    In,
    Other,
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The names after `claims`, each behind a dot, and the text after them.
fn way_of(mut rest: &str) -> Result<(Vec<Text>, &str)> {
    let mut way = Vec::new();
    while let Some(after) = rest.strip_prefix('.') {
        let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        if name.is_empty() {
            return Err(Error::invalid(
                "after `claims.` the name of a claim is expected",
            ));
        }
        way.push(Text::new(name));
        rest = after;
    }
    Ok((way, rest))
}
