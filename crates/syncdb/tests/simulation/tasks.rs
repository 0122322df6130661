//! The tables of seeds with features, and what is written to them: `tasks`, of which replicas keep a part and whose columns
//! are merged in several ways, and `drafts`, where an update weighs more than a deletion.

use std::collections::BTreeSet;

use common::schema::{Field, FieldType, Schema, SchemaBuilder};
use common::{Database, Result, Row, Value, row};
use syncdb::{DeletionPolicy, Policy, Strategy, SyncServerOptions};

use super::features::{Features, PLACES};
use super::oracle::{Cell, Oracle, Tx, Write};
use super::plan::Kind;
use super::tables::{rows, token, value};
use super::workload::{Writer, seen, take};

// Positions of the columns of `tasks`.
pub(crate) const PLACE: usize = 1;
pub(crate) const TOKEN: usize = 2;
pub(crate) const TEXT: usize = 3;
pub(crate) const TAGS: usize = 4;
pub(crate) const TOP: usize = 5;
pub(crate) const LOW: usize = 6;
pub(crate) const BITS: usize = 7;
/// Name of the merge function.
pub(crate) const BOTH: &str = "both";
/// Elements that several may add and remove.
const SHARED: u64 = 4;

pub(crate) fn schemas() -> Vec<SchemaBuilder> {
    let int = |name: &str, default: i64| Field::new(name, FieldType::Int).default_value(default);
    let text = |name: &str| Field::new(name, FieldType::Text).default_value("");
    let begin = |name: &str| Schema::build(name, ["id"]).field(Field::new("id", FieldType::Int));
    let list = FieldType::List(Box::new(FieldType::Text));
    vec![
        begin("tasks")
            .field(int("place", 0))
            .field(int("token", 0))
            .field(text("text"))
            .field(Field::new("tags", list).default_value(Vec::<Value>::new()))
            .field(int("top", 0))
            .field(int("low", 0))
            .field(int("bits", -1)),
        begin("drafts").field(int("token", 0)).field(text("text")),
    ]
}

/// The policies of the tables; of the others, those that every seed has.
pub(crate) fn policies(options: SyncServerOptions, features: &Features) -> SyncServerOptions {
    let tasks = Policy::default()
        .column("tags", Strategy::Set(features.bias))
        .column("top", Strategy::Max)
        .column("low", Strategy::Min)
        .column("bits", Strategy::Custom(BOTH.into()));
    let drafts = Policy::default().deletion(DeletionPolicy::UpdateResurrects);
    let options = options.policy("tasks", tasks).policy("drafts", drafts);
    options.merge_function(BOTH, |meeting| {
        // What either has cleared is clear.
        let [server, client] = [meeting.server, meeting.client].map(|v| v.as_int().unwrap());
        Ok(Value::Int(server & client))
    })
}

/// The rows that the server has at first.
pub(crate) fn fill(db: &Database, features: &Features) -> Result<()> {
    let [tasks, drafts] = ["tasks", "drafts"].map(|name| db.collection(name));
    let (tasks, drafts) = (tasks?, drafts?);
    db.transaction(|tx| {
        for id in 0..features.tasks {
            let text = format!(
                "call the customer of order {} about the delivery",
                id * 7 % 97
            );
            tx.insert(
                &tasks,
                row! { "id": id, "place": id % PLACES, "text": text },
            )?;
        }
        for id in 0..4 {
            tx.insert(&drafts, row! { "id": id })?;
        }
        Ok(())
    })
}

/// An element that was put into a set, or taken out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) task: i64,
    pub(crate) name: String,
    pub(crate) is_added: bool,
    /// It may have been so already where it was said.
    pub(crate) perhaps: bool,
}

/// What a transaction did to the columns of tasks that are merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merges {
    pub(crate) elements: Vec<Element>,
    pub(crate) tops: Vec<(i64, i64)>,
    pub(crate) lows: Vec<(i64, i64)>,
    /// Which bit of which task was cleared.
    pub(crate) bits: Vec<(i64, i64)>,
}

fn names(tags: &Value) -> Vec<String> {
    let tags = tags.as_list().unwrap_or_default().iter();
    tags.map(|tag| tag.as_text().unwrap().to_owned()).collect()
}

impl Writer<'_> {
    /// A task that is here, by chance.
    fn any_task(&mut self) -> Option<i64> {
        let here: Vec<i64> = rows(self.db.database(), "tasks").into_keys().collect();
        let at = (!here.is_empty()).then(|| self.take(here.len() as u64))?;
        here.get(usize::try_from(at).unwrap()).copied()
    }

    pub(crate) fn task(&mut self) -> Result<()> {
        let Ok(tasks) = self.db.collection("tasks") else {
            return Ok(());
        };
        let mut known = self.tx();
        let mut tx = self.db.begin();
        for _ in 0..=self.take(2) {
            let Some(key) = self.any_task() else {
                break;
            };
            let before = tx.get(&tasks, key)?.unwrap();
            if known.writes.iter().any(|write| write.cell.1 == key) {
                continue;
            }
            let mut changes = Row::new();
            if self.take(5) < 2 {
                changes.set("place", self.below(PLACES));
            }
            self.tokened(key, &mut changes, &mut known, &before);
            tx.update(&tasks, key, changes)?;
        }
        tx.commit()?;
        self.oracle.txs.push(known);
        Ok(())
    }

    /// Sets the columns of a task whose values carry numbers, of those that are here.
    fn tokened(&mut self, key: i64, changes: &mut Row, known: &mut Tx, before: &[Value]) {
        for (position, name, kind) in [(TOKEN, "token", Kind::Int), (TEXT, "text", Kind::Text)] {
            if before[position].is_null() || (position == TEXT && self.take(2) == 0) {
                continue;
            }
            let (number, new) = self.token_value(kind);
            changes.set(name, new);
            known.writes.push(Write {
                cell: ("tasks", key, position),
                token: number,
                seen: Some(token(&before[position])),
            });
        }
    }

    /// Changes the merged columns of a task. It always adds to the set, so that the transaction is two operations, of which
    /// none is left out later, and it writes a number by which what became of it is known.
    pub(crate) fn merge(&mut self) -> Result<()> {
        let Some(key) = self.any_task() else {
            return Ok(());
        };
        let tasks = self.db.collection("tasks")?;
        let before = tasks.get(key).unwrap();
        let mut known = self.tx();
        let mut tx = self.db.begin();
        let mut changes = Row::new();
        self.tokened(key, &mut changes, &mut known, &before);
        let mut merges = Merges::default();
        if self.take(2) == 0 {
            let top = 1 + self.below(900);
            changes.set("top", top);
            merges.tops.push((key, top));
        }
        if self.take(2) == 0 {
            let low = -1 - self.below(900);
            changes.set("low", low);
            merges.lows.push((key, low));
        }
        if let Some(bits) = before[BITS].as_int()
            && self.take(2) == 0
        {
            let bit = self.below(40);
            changes.set("bits", bits & !(1 << bit));
            merges.bits.push((key, bit));
        }
        let there = names(&before[TAGS]);
        let mut elements = vec![(format!("own {}", self.oracle.token()), true)];
        if self.take(3) == 0 {
            elements.push((format!("shared {}", self.take(SHARED)), self.take(2) == 0));
        }
        if self.take(3) == 0 && !there.is_empty() {
            let at = usize::try_from(self.take(there.len() as u64)).unwrap();
            elements.push((there[at].clone(), false));
        }
        let mut known_names = BTreeSet::new();
        elements.retain(|(name, _)| known_names.insert(name.clone()));
        merges.elements = elements
            .iter()
            .map(|(name, is_added)| Element {
                task: key,
                name: name.clone(),
                is_added: *is_added,
                perhaps: false,
            })
            .collect();
        if self.take(4) == 0 {
            // The whole list, in no order.
            let mut all = there;
            for (name, is_added) in &elements {
                all.retain(|known| known != name);
                if *is_added {
                    all.insert(0, name.clone());
                }
            }
            // What is there anyway is not said.
            let was = names(&before[TAGS]);
            merges
                .elements
                .retain(|element| was.contains(&element.name) != element.is_added);
            changes.set(
                "tags",
                Value::from(
                    all.iter()
                        .map(|name| Value::from(name.as_str()))
                        .collect::<Vec<_>>(),
                ),
            );
            tx.update(&tasks, key, changes)?;
        } else {
            tx.update(&tasks, key, changes)?;
            for (name, is_added) in &elements {
                if *is_added {
                    tx.add_to_set(&tasks, key, "tags", name.as_str())?;
                } else {
                    tx.remove_from_set(&tasks, key, "tags", name.as_str())?;
                }
            }
        }
        known.merges = merges;
        tx.commit()?;
        self.oracle.txs.push(known);
        Ok(())
    }

    pub(crate) fn new_task(&mut self) -> Result<()> {
        if !self.has_rows() {
            return Ok(());
        }
        let key = self.oracle.token().cast_signed();
        let mut known = self.tx();
        let mut new = row! { "id": key, "place": self.below(PLACES) };
        for (position, name, kind) in [(TOKEN, "token", Kind::Int), (TEXT, "text", Kind::Text)] {
            if position == TEXT && self.take(3) == 0 {
                continue;
            }
            let (token, made) = self.token_value(kind);
            new.set(name, made);
            known.writes.push(Write {
                cell: ("tasks", key, position),
                token,
                seen: None,
            });
        }
        self.db.insert("tasks", new)?;
        self.oracle.txs.push(known);
        Ok(())
    }

    pub(crate) fn draft(&mut self) -> Result<()> {
        if !self.has_rows() {
            return Ok(());
        }
        let drafts = self.db.collection("drafts")?;
        let here: Vec<i64> = rows(self.db.database(), "drafts").into_keys().collect();
        let mut known = self.tx();
        let what = self.take(10);
        if here.is_empty() || what < 2 {
            let key = self.oracle.token().cast_signed();
            let mut new = row! { "id": key };
            self.drafted(key, &mut new, &mut known, None);
            self.db.insert("drafts", new)?;
        } else {
            let key = here[usize::try_from(self.take(here.len() as u64)).unwrap()];
            let before = drafts.get(key).unwrap();
            if what < 5 {
                known.deletes.push(("drafts", key, seen("drafts", &before)));
                self.db.delete("drafts", key)?;
            } else {
                let mut changes = Row::new();
                self.drafted(key, &mut changes, &mut known, Some(&before));
                self.db.update("drafts", key, changes)?;
            }
        }
        self.oracle.txs.push(known);
        Ok(())
    }

    fn drafted(&mut self, key: i64, to: &mut Row, known: &mut Tx, before: Option<&[Value]>) {
        for (position, name, kind) in [(1, "token", Kind::Int), (2, "text", Kind::Text)] {
            if before.is_some() && position == 2 && self.take(2) == 0 {
                continue;
            }
            let (number, new) = self.token_value(kind);
            to.set(name, new);
            let cell: Cell = ("drafts", key, position);
            let seen = before.map(|before| token(&before[position]));
            known.writes.push(Write {
                cell,
                token: number,
                seen,
            });
        }
    }
}

/// A write to a task at the server, past every replica.
pub(crate) fn write_at_server(db: &Database, oracle: &mut Oracle, mut choice: u64) -> Result<()> {
    let tasks = db.collection("tasks")?;
    let here: Vec<i64> = rows(db, "tasks").into_keys().collect();
    let key = here[usize::try_from(take(&mut choice, here.len() as u64)).unwrap()];
    let before = tasks.get(key).unwrap();
    let number = oracle.token();
    let mut changes = Row::new().with("token", value(Kind::Int, number, 0));
    if take(&mut choice, 2) == 0 {
        changes.set(
            "place",
            take(&mut choice, PLACES.cast_unsigned()).cast_signed(),
        );
    }
    tasks.update(key, changes)?;
    let seen = Some(token(&before[TOKEN]));
    oracle.txs.push(Tx {
        writes: vec![Write {
            cell: ("tasks", key, TOKEN),
            token: number,
            seen,
        }],
        ..Tx::default()
    });
    Ok(())
}
