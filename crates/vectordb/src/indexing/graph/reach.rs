//! That every vertex is led to: by a list that names it, or no search ever finds it.
//!
//! A list keeps the neighbours that lie in different directions and drops the others. Each drop is right for its own list;
//! but the list may have been the last that named a vertex.

use super::build::{Builder, Lists};
use super::links::Links;

/// So many neighbours of a vertex name it, where there is room: one alone may lie where no search for it goes.
const NAMED_MIN: usize = 2;
/// So many vertices may lose their places one for another.
const DISPLACED_MAX: usize = 8;

impl Builder<'_> {
    /// Sees to it that vertices are led to which changed lists have dropped, those of the lists themselves, and `others`.
    ///
    /// Cost: for each that was dropped, a look into the lists of its neighbours until one names it: mostly the first.
    pub(super) fn lead_to_dropped(&self, links: &mut Links, others: &[u32], changed: &mut Lists) {
        let mut doubtful: Vec<u32> = others.to_vec();
        for (vertex, before) in changed.iter() {
            let now = links.of(vertex >> self.shift);
            doubtful.push(*vertex);
            doubtful.extend(before.iter().filter(|id| !now.contains(id)));
        }
        doubtful.sort_unstable();
        doubtful.dedup();
        for vertex in doubtful {
            if self.is_live(vertex) && !self.is_led_to(links, vertex) {
                self.lead_to(links, vertex, changed);
            }
        }
    }

    /// Sees to it that every member of a level that was built is led to.
    pub(super) fn lead_to_all(&self, links: &mut Links, members: &[u32]) {
        let places = members.iter().map(|member| self.place(*member) + 1).max();
        let mut is_named = vec![false; places.unwrap_or(0)];
        for member in members {
            for named in links.of(member >> self.shift) {
                if let Some(named) = is_named.get_mut(self.place(*named)) {
                    *named = true;
                }
            }
        }
        let mut changed = Lists::new();
        for member in members {
            if is_named.get(self.place(*member)) == Some(&false) {
                self.lead_to(links, *member, &mut changed);
            }
        }
    }

    /// Whether enough neighbours of a vertex name it.
    fn is_led_to(&self, links: &Links, vertex: u32) -> bool {
        let neighbours = links.of(vertex >> self.shift).iter();
        let naming = neighbours
            .filter(|id| self.is_live(**id) && links.of(**id >> self.shift).contains(&vertex));
        naming.take(NAMED_MIN).count() == NAMED_MIN
    }

    /// Has a neighbour of a vertex name it, in the place of one that is got to without it if there is no room.
    fn lead_to(&self, links: &mut Links, vertex: u32, changed: &mut Lists) {
        let mut vertex = vertex;
        for _ in 0..DISPLACED_MAX {
            match self.name(links, vertex, changed) {
                Some(displaced) => vertex = displaced,
                None => return,
            }
        }
    }

    /// Does that; answers with the one that lost its place for it, if every one was needed.
    fn name(&self, links: &mut Links, vertex: u32, changed: &mut Lists) -> Option<u32> {
        let neighbours = links.of(vertex >> self.shift).iter().copied();
        let mut neighbours: Vec<u32> = neighbours.filter(|id| self.is_live(*id)).collect();
        if neighbours.is_empty() {
            // All that it knew are gone: who is changed lies near.
            let others = changed.iter().map(|(id, _)| *id);
            let others = others.filter(|id| *id != vertex && self.is_live(*id));
            neighbours.extend(others.min_by_key(|id| (self.distance(vertex, *id), *id)));
            self.replace(links, vertex, &neighbours, changed);
        }
        // The nearest first: a search for the vertex comes by there.
        neighbours.sort_by_cached_key(|id| (self.distance(vertex, *id), *id));
        let is_naming = |id: &u32| links.of(id >> self.shift).contains(&vertex);
        let named = neighbours.iter().filter(|id| is_naming(id)).count();
        neighbours.retain(|id| !is_naming(id));
        if self.name_at_ease(links, &neighbours, vertex, changed) || named > 0 {
            return None;
        }
        // Another one in every place: who loses its own may find room elsewhere.
        self.displace(links, *neighbours.first()?, vertex, changed)
    }

    /// Has the first of some vertices name another that can without a loss; whether one can.
    fn name_at_ease(
        &self,
        links: &mut Links,
        owners: &[u32],
        vertex: u32,
        changed: &mut Lists,
    ) -> bool {
        for owner in owners {
            let mut list: Vec<u32> = links.of(owner >> self.shift).to_vec();
            if list.len() < links.degree() {
                list.push(vertex);
            } else {
                let known = links.of(owner >> self.shift);
                // Who leaves this list is still got to from here, by one that stays.
                let is_spare = |id: u32| {
                    let mut others = known.iter().filter(|other| **other != id);
                    !self.is_live(id)
                        || others.any(|other| {
                            self.is_live(*other) && links.of(other >> self.shift).contains(&id)
                        })
                };
                // Of these the nearest one: the vertex leads about where that one led.
                let spare = list.iter_mut().filter(|id| is_spare(**id));
                let Some(place) = spare.min_by_key(|id| (self.distance(vertex, **id), **id)) else {
                    continue;
                };
                *place = vertex;
            }
            self.replace(links, *owner, &list, changed);
            return true;
        }
        false
    }

    /// Gives a vertex the last place in the list of another; answers with the one that had it.
    fn displace(
        &self,
        links: &mut Links,
        owner: u32,
        vertex: u32,
        changed: &mut Lists,
    ) -> Option<u32> {
        let mut list: Vec<u32> = links.of(owner >> self.shift).to_vec();
        let place = list.last_mut()?;
        let displaced = std::mem::replace(place, vertex);
        self.replace(links, owner, &list, changed);
        Some(displaced)
    }

    /// Has one of some vertices name another; whether nobody lost a place for it that may be needed.
    pub(super) fn name_by(
        &self,
        links: &mut Links,
        owners: &[u32],
        vertex: u32,
        changed: &mut Lists,
    ) -> bool {
        if self.name_at_ease(links, owners, vertex, changed) {
            return true;
        }
        let owner = owners.first();
        owner.is_none_or(|owner| self.displace(links, *owner, vertex, changed).is_none())
    }
}
