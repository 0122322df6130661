//! [`Categories`]: texts in order, found by a hash.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize, Serializer};

use super::few::Few;

/// Texts in order with a table that finds the place of one. Only the texts are written, and compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Vec<String>")]
pub(super) struct Categories {
    names: Vec<String>,
    places: Places,
}

#[derive(Debug, Clone)]
enum Places {
    /// Of few texts, as most columns of categories have.
    Few(Few),
    Many {
        table: HashTable<u32>,
        /// Seeded at random: who writes categories cannot choose them to collide.
        state: RandomState,
    },
}

impl From<Vec<String>> for Categories {
    fn from(names: Vec<String>) -> Self {
        let places = match Few::of(&names) {
            Some(few) => Places::Few(few),
            None => many(&names),
        };
        Self { names, places }
    }
}

fn many(names: &[String]) -> Places {
    let state = RandomState::default();
    let mut table = HashTable::with_capacity(names.len());
    let hash = |at: &u32| {
        let name = names.get(*at as usize);
        name.map_or(0, |name| state.hash_one(name.as_str()))
    };
    // There are fewer than 2^32 wherever categories are checked.
    for at in 0..u32::try_from(names.len()).unwrap_or_default() {
        table.insert_unique(hash(&at), at, hash);
    }
    Places::Many { table, state }
}

impl Serialize for Categories {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.names.serialize(serializer)
    }
}

impl PartialEq for Categories {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Categories {
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    #[inline]
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        match &self.places {
            Places::Few(few) => few.find(text, &self.names),
            Places::Many { table, state } => {
                let is = |at: &u32| {
                    let name = self.names.get(*at as usize);
                    name.is_some_and(|name| name == text)
                };
                let found = table.find(state.hash_one(text), is);
                found.map(|at| *at as usize)
            }
        }
    }
}
