//! The five tables, row by row until they are large enough.

use std::collections::BTreeMap;

use common::schema::{Field, FieldType, Schema};
use common::serialization::Format;
use common::{Date, Metadata, Record, Timestamp, Value};
use uuid::{Builder, Uuid};

use super::place::{self, Place};
use super::prose::Prose;
use super::{Mobile, MobileTable};
use crate::Result;
use crate::random::Random;

/// 2026-01-05T06:00:00Z.
pub(super) const START_MILLIS: i64 = 1_767_592_800_000;
const DAY_MILLIS: i64 = 86_400_000;
/// Rows that are written as JSON at a time to see how large the table has become.
const CHUNK_ROWS: usize = 16;

/// Everything that rows are made of.
pub(super) struct Source<'a> {
    pub(super) random: &'a mut Random,
    pub(super) prose: Prose,
    pub(super) places: Vec<Place>,
    /// Keys of the users made so far.
    pub(super) users: Vec<Uuid>,
}

impl Source<'_> {
    fn below(&mut self, bound: i64) -> i64 {
        let below = self
            .random
            .below(usize::try_from(bound).unwrap_or_default());
        i64::try_from(below).unwrap_or_default()
    }

    /// True once in `times`.
    fn once_in(&mut self, times: usize) -> bool {
        self.random.below(times) == 0
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.random.skewed(words.len())]
    }

    /// Between 0 and about ten times the mean, as waiting times are.
    fn wait(&mut self, mean: i64) -> i64 {
        let share = (self.random.below(1 << 24) + 1) as f64 / f64::from(1 << 24);
        (-share.ln() * mean as f64) as i64
    }

    fn uuid_v7(&mut self, millis: i64) -> Uuid {
        let mut random = [0; 10];
        for (to, from) in random
            .chunks_mut(8)
            .zip([self.random.bits(), self.random.bits()])
        {
            to.copy_from_slice(&from.to_le_bytes()[..to.len()]);
        }
        Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or_default(), &random)
            .into_uuid()
    }

    fn user(&mut self) -> Uuid {
        self.users[self.random.skewed(self.users.len())]
    }
}

/// What makes the row of a number.
type MakeRow = fn(&mut Source<'_>, usize, &mut Vec<Value>);

pub(super) fn generate(json_bytes: usize, random: &mut Random) -> Result<Mobile> {
    let prose = Prose::read(random)?;
    let mut source = Source {
        random,
        prose,
        places: place::read(3_000)?,
        users: Vec::new(),
    };
    let mut tables = Vec::new();
    let parts: [(Schema, usize, MakeRow); 5] = [
        (users_schema()?, 8, user_row),
        (tasks_schema()?, 22, task_row),
        (chat_schema()?, 25, chat_row),
        (readings_schema()?, 30, reading_row),
        (catalogue_schema()?, 15, product_row),
    ];
    for (schema, percent, row) in parts {
        let bytes = json_bytes / 100 * percent;
        tables.push(fill(schema, bytes, row, &mut source)?);
    }
    Ok(Mobile { tables })
}

fn fill(
    schema: Schema,
    json_bytes: usize,
    make: MakeRow,
    source: &mut Source<'_>,
) -> Result<MobileTable> {
    let mut rows: Vec<Vec<Value>> = Vec::new();
    let mut written = 0;
    let mut json = Vec::new();
    while written < json_bytes {
        let begin = rows.len();
        for number in begin..begin + CHUNK_ROWS {
            let mut row = Vec::with_capacity(schema.fields.len());
            make(source, number, &mut row);
            rows.push(row);
        }
        json.clear();
        let records: Vec<Record> = rows[begin..]
            .iter()
            .map(|row| Record::new(Metadata::default(), schema.key_columns, row.iter().cloned()))
            .collect();
        Format::Json.encode_rows(&schema, &records, &mut json)?;
        written += json.len();
    }
    // Sensors take turns in life; a table is read in the order of its keys.
    rows.sort_by(|a, b| a[..schema.key_columns].cmp(&b[..schema.key_columns]));
    Ok(MobileTable { schema, rows })
}

fn text(name: &str) -> Field {
    Field::new(name, FieldType::Text)
}

fn int(name: &str) -> Field {
    Field::new(name, FieldType::Int)
}

fn float(name: &str) -> Field {
    Field::new(name, FieldType::Float)
}

fn flag(name: &str) -> Field {
    Field::new(name, FieldType::Bool)
}

fn time(name: &str) -> Field {
    Field::new(name, FieldType::Timestamp)
}

fn id(name: &str) -> Field {
    Field::new(name, FieldType::Uuid)
}

fn users_schema() -> Result<Schema> {
    let schema = Schema::build("users", ["id"])
        .field(id("id"))
        .field(text("name"))
        .field(text("email"))
        .field(text("plan"))
        .field(text("city"))
        .field(text("country"))
        .field(text("timezone"))
        .field(float("latitude"))
        .field(float("longitude"))
        .field(flag("active"))
        .field(time("created"))
        .field(time("last_seen").nullable())
        .field(text("avatar").nullable());
    Ok(schema.finish()?)
}

fn user_row(source: &mut Source<'_>, number: usize, row: &mut Vec<Value>) {
    // Users joined over the two years before the start.
    let ago = 730 * DAY_MILLIS - i64::try_from(number).unwrap_or_default() * 600_000;
    let created = START_MILLIS - ago.max(0) + source.below(600_000);
    let key = source.uuid_v7(created);
    source.users.push(key);
    let (name, mail) = place::person(source.random);
    let city = source.random.skewed(source.places.len());
    let active = !source.once_in(8);
    let seen = START_MILLIS + source.below(14 * DAY_MILLIS);
    let place = &source.places[city];
    row.extend([
        Value::from(key),
        name.into(),
        mail.into(),
        ["free", "team", "business"][source.random.skewed(3)].into(),
        place.name.as_str().into(),
        place.country.as_str().into(),
        place.timezone.as_str().into(),
        place.latitude.into(),
        place.longitude.into(),
        active.into(),
        Timestamp::from_millis(created).into(),
        active.then(|| Timestamp::from_millis(seen)).into(),
        (!source.random.below(3).eq(&0))
            .then(|| format!("https://cdn.example.com/avatars/user-{number:06}/96.webp"))
            .into(),
    ]);
}

pub(super) const STATES: [&str; 5] = ["open", "done", "in progress", "waiting", "cancelled"];
const TAGS: [&str; 24] = [
    "home", "urgent", "backend", "design", "travel", "finance", "health", "errand", "review",
    "bug", "idea", "meeting", "docs", "family", "garden", "phone", "reading", "release", "school",
    "shop", "sport", "support", "test", "writing",
];

fn tasks_schema() -> Result<Schema> {
    let schema = Schema::build("tasks", ["id"])
        .field(id("id"))
        .field(text("project"))
        .field(text("title"))
        .field(text("notes").nullable())
        .field(text("state"))
        .field(int("priority"))
        .field(id("assignee").nullable())
        .field(float("estimate").nullable())
        .field(Field::new("due", FieldType::Date).nullable())
        .field(time("created"))
        .field(time("updated"))
        .field(Field::new(
            "tags",
            FieldType::List(Box::new(FieldType::Text)),
        ));
    Ok(schema.finish()?)
}

fn task_row(source: &mut Source<'_>, number: usize, row: &mut Vec<Value>) {
    let number = i64::try_from(number).unwrap_or_default();
    let created = START_MILLIS - 90 * DAY_MILLIS + number * 900_000 + source.below(900_000);
    let updated = created + source.wait(3 * DAY_MILLIS);
    let day = i32::try_from(created.div_euclid(DAY_MILLIS)).unwrap_or_default();
    let due = Date(day + i32::try_from(source.below(45)).unwrap_or_default());
    let assignee = source.user();
    let tags = (0..source.random.skewed(5)).map(|_| Value::from(source.one_of(&TAGS)));
    let tags: Vec<Value> = tags.collect();
    let quarters = source.random.skewed(64) as f64 / 4.0;
    row.extend([
        Value::from(source.uuid_v7(created)),
        format!("project {}", source.random.skewed(60)).into(),
        source.prose.title(8, source.random).into(),
        source
            .once_in(3)
            .then(|| source.prose.sentence(160, source.random))
            .into(),
        STATES[source.random.skewed(STATES.len())].into(),
        (1 + source.below(4)).into(),
        (!source.once_in(6)).then_some(assignee).into(),
        source.once_in(2).then_some(quarters).into(),
        source.once_in(2).then_some(due).into(),
        Timestamp::from_millis(created).into(),
        Timestamp::from_millis(updated).into(),
        tags.into(),
    ]);
}

fn chat_schema() -> Result<Schema> {
    let schema = Schema::build("messages", ["id"])
        .field(int("id"))
        .field(text("channel"))
        .field(id("sender"))
        .field(time("sent"))
        .field(text("body"))
        .field(int("reply_to").nullable())
        .field(int("reactions"))
        .field(flag("edited"));
    Ok(schema.finish()?)
}

fn chat_row(source: &mut Source<'_>, number: usize, row: &mut Vec<Value>) {
    let number = i64::try_from(number).unwrap_or_default();
    // The server numbers messages of all its tenants, so this one sees gaps.
    let key = 48_210_000 + number * 3 + source.below(3);
    let body = if source.once_in(3) {
        source.prose.title(4, source.random)
    } else {
        let most = if source.once_in(6) { 160 } else { 60 };
        source.prose.sentence(most, source.random)
    };
    let reactions = if source.once_in(6) {
        1 + source.below(6)
    } else {
        0
    };
    let back = 1 + source.wait(12);
    row.extend([
        Value::from(key),
        format!("channel-{:03}", source.random.skewed(40)).into(),
        source.user().into(),
        Timestamp::from_millis(START_MILLIS + number * 20_000 + source.wait(20_000)).into(),
        body.into(),
        source.once_in(8).then(|| key - back).into(),
        reactions.into(),
        source.once_in(25).into(),
    ]);
}

const SENSORS: usize = 24;

fn readings_schema() -> Result<Schema> {
    let schema = Schema::build("readings", ["device", "at"])
        .field(text("device"))
        .field(time("at"))
        .field(float("temperature"))
        .field(float("humidity"))
        .field(float("pressure"))
        .field(float("x"))
        .field(float("y"))
        .field(float("z"))
        .field(float("battery"))
        .field(int("signal"))
        .field(flag("motion"))
        .field(text("status"));
    Ok(schema.finish()?)
}

fn reading_row(source: &mut Source<'_>, number: usize, row: &mut Vec<Value>) {
    let device = number % SENSORS;
    let turn = (number / SENSORS) as i64;
    let minute = turn as f64 / 1_440.0 * std::f64::consts::TAU;
    let phase = device as f64 * 0.7;
    let noise = |source: &mut Source<'_>, steps: i64| {
        (source.below(steps) + source.below(steps) - steps) as f64
    };
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let hundredths = |value: f64| (value * 100.0).round() / 100.0;
    // Acceleration: the converter counts steps of 9.80665 / 4096 and the driver hands them on in single precision.
    let mut acceleration = |rest: i64, spread: i64| {
        let steps = rest + source.below(spread) + source.below(spread) - spread;
        Value::from(f64::from(steps as f32 * (9.806_65_f32 / 4_096.0)))
    };
    let [x, y, z] = [
        acceleration(310 - device as i64 * 20, 90),
        acceleration(-140 + device as i64 * 12, 90),
        acceleration(4_070, 60),
    ];
    let celsius = 19.0 + phase + 3.0 * minute.sin() + noise(source, 20) / 100.0;
    let humidity = 45.0 + 2.0 * phase - 8.0 * minute.sin() + noise(source, 10) / 10.0;
    let pressure = 1_013.25 + 6.0 * (minute / 3.0 + phase).cos() + noise(source, 12) / 100.0;
    row.extend([
        Value::from(format!("sensor-{:04}", 100 + device * 7)),
        // One reading a minute, a little late.
        Timestamp::from_millis(START_MILLIS + turn * 60_000 + 250 + source.wait(40)).into(),
        hundredths(celsius).into(),
        tenths(humidity).into(),
        hundredths(pressure).into(),
        x,
        y,
        z,
        hundredths(4.18 - turn as f64 * 0.000_2 - phase / 100.0).into(),
        (-58 - source.below(6)
            - source.below(6)
            - i64::try_from(device % 5).unwrap_or_default() * 3)
            .into(),
        source.once_in(12).into(),
        if source.once_in(150) {
            "low signal"
        } else {
            "ok"
        }
        .into(),
    ]);
}

const CATEGORIES: [&str; 32] = [
    "Home > Kitchen > Cookware",
    "Home > Kitchen > Knives",
    "Home > Bath",
    "Home > Lighting",
    "Home > Furniture > Chairs",
    "Home > Furniture > Tables",
    "Garden > Tools",
    "Garden > Seeds",
    "Garden > Furniture",
    "Electronics > Audio > Headphones",
    "Electronics > Audio > Speakers",
    "Electronics > Cables",
    "Electronics > Computers > Laptops",
    "Electronics > Computers > Tablets",
    "Electronics > Phones",
    "Electronics > Cameras",
    "Sports > Running",
    "Sports > Cycling",
    "Sports > Swimming",
    "Sports > Outdoor > Tents",
    "Sports > Outdoor > Backpacks",
    "Toys > Puzzles",
    "Toys > Building",
    "Toys > Outdoor",
    "Books > Fiction",
    "Books > Science",
    "Books > Children",
    "Clothing > Women",
    "Clothing > Men",
    "Clothing > Children",
    "Office > Paper",
    "Office > Pens",
];
const BRANDS: [&str; 20] = [
    "Acme",
    "Aurora",
    "Birch & Co",
    "Cobalt",
    "Delta Works",
    "Ember",
    "Fjord",
    "Granite",
    "Harbor",
    "Indigo",
    "Juniper",
    "Kestrel",
    "Lumen",
    "Meridian",
    "Northwind",
    "Orchid",
    "Pioneer",
    "Quarry",
    "Ridge",
    "Solstice",
];
const COLOURS: [&str; 10] = [
    "black", "white", "grey", "red", "blue", "green", "yellow", "brown", "orange", "purple",
];
const SIZES: [&str; 6] = ["S", "M", "L", "XL", "XS", "one size"];

fn catalogue_schema() -> Result<Schema> {
    let schema = Schema::build("products", ["sku"])
        .field(text("sku"))
        .field(text("name"))
        .field(text("brand"))
        .field(text("category"))
        .field(text("description"))
        .field(float("price"))
        .field(text("currency"))
        .field(int("stock"))
        .field(int("weight_g"))
        .field(float("rating").nullable())
        .field(text("barcode"))
        .field(Field::new(
            "attributes",
            FieldType::Map(Box::new(FieldType::Text)),
        ))
        .field(time("updated"));
    Ok(schema.finish()?)
}

/// Thirteen digits, the last of which checks the others.
fn barcode(number: i64) -> String {
    let digits = format!("640{number:09}");
    let weigh = |(at, digit): (usize, char)| {
        let digit = digit.to_digit(10).unwrap_or_default();
        if at % 2 == 0 { digit } else { 3 * digit }
    };
    let sum: u32 = digits.chars().enumerate().map(weigh).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn product_row(source: &mut Source<'_>, number: usize, row: &mut Vec<Value>) {
    let whole = 2 + source.wait(60);
    let cents = [99, 49, 0, 95, 50][source.random.skewed(5)];
    let price = (whole * 100 + cents) as f64 / 100.0;
    let mut attributes = BTreeMap::new();
    attributes.insert("colour".into(), Value::from(source.one_of(&COLOURS)));
    if source.once_in(2) {
        attributes.insert("size".into(), Value::from(source.one_of(&SIZES)));
    }
    let rating = (30 + source.below(21)) as f64 / 10.0;
    let brand = source.one_of(&BRANDS);
    row.extend([
        Value::from(format!(
            "SKU-{:06}",
            10_000 + number * 2 + source.random.below(2)
        )),
        format!("{brand} {}", source.prose.title(4, source.random)).into(),
        brand.into(),
        source.one_of(&CATEGORIES).into(),
        source.prose.sentence(140, source.random).into(),
        price.into(),
        ["EUR", "USD", "GBP"][source.random.skewed(3)].into(),
        source.wait(40).into(),
        (source.wait(90) * 10 + 20).into(),
        (!source.once_in(4)).then_some(rating).into(),
        barcode(source.below(900_000_000)).into(),
        Value::from(attributes),
        Timestamp::from_millis(START_MILLIS - source.wait(20 * DAY_MILLIS)).into(),
    ]);
}
