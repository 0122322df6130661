//! [`Beam`]: the candidates of a search, nearest first, and [`Visited`]: which vertices it has seen.

/// Vertices have numbers below this, for a candidate's lowest bit tells whether it was expanded.
pub(super) const VERTICES_MAX: u32 = 1 << 31;

/// The nearest candidates so far, at most as many as asked for, nearest first.
///
/// A sorted array instead of two heaps: the candidates are few, and moving them is cheaper than missing the
/// branches of a heap.
#[derive(Debug, Default)]
pub(super) struct Beam {
    /// Distance, vertex, and whether it was expanded, from the highest bit to the lowest.
    keys: Vec<u64>,
    width: usize,
    /// No candidate before this one waits to be expanded.
    next: usize,
}

impl Beam {
    pub(super) fn begin(&mut self, width: usize) {
        self.keys.clear();
        self.width = width.max(1);
        self.next = 0;
    }

    /// Adds a candidate that is not there yet, unless there are enough nearer ones.
    #[inline]
    pub(super) fn offer(&mut self, distance: u32, vertex: u32) {
        let key = u64::from(distance) << 32 | u64::from(vertex) << 1;
        if self.keys.len() >= self.width {
            match self.keys.last() {
                Some(last) if key < *last => self.keys.pop(),
                _ => return,
            };
        }
        let at = self.keys.partition_point(|known| *known < key);
        self.keys.insert(at, key);
        self.next = self.next.min(at);
    }

    /// The distance that a candidate must be below to get in.
    #[inline]
    pub(super) fn bound(&self) -> u32 {
        match self.keys.last() {
            Some(last) if self.keys.len() >= self.width => distance(*last),
            _ => u32::MAX,
        }
    }

    /// The nearest candidate that was not expanded, which it is from now on.
    #[inline]
    pub(super) fn expand(&mut self) -> Option<u32> {
        while let Some(key) = self.keys.get_mut(self.next) {
            self.next += 1;
            if *key & 1 == 0 {
                *key |= 1;
                return Some(vertex(*key));
            }
        }
        None
    }

    /// [`Beam::bound`] of distances that are the bits of floats.
    #[inline]
    pub(super) fn bound_float(&self) -> f32 {
        match self.bound() {
            u32::MAX => f32::INFINITY,
            bits => f32::from_bits(bits),
        }
    }

    /// The candidate that would be expanded next if nothing nearer came.
    #[inline]
    pub(super) fn peek(&self) -> Option<u32> {
        let keys = self.keys.get(self.next..)?;
        keys.iter()
            .find(|key| **key & 1 == 0)
            .map(|key| vertex(*key))
    }

    /// The candidates, nearest first: distance and vertex.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.keys.iter().map(|key| (distance(*key), vertex(*key)))
    }
}

fn distance(key: u64) -> u32 {
    (key >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn vertex(key: u64) -> u32 {
    key as u32 >> 1
}

/// A set of vertices that is emptied in the time of what was put into it.
#[derive(Debug, Default)]
pub(super) struct Visited {
    words: Vec<u64>,
    touched: Vec<u32>,
}

impl Visited {
    /// Empties the set and makes room for the vertices below a number.
    pub(super) fn begin(&mut self, vertices: usize) {
        for at in self.touched.drain(..) {
            if let Some(word) = self.words.get_mut(at as usize) {
                *word = 0;
            }
        }
        let words = vertices.div_ceil(64);
        if self.words.len() < words {
            self.words.resize(words, 0);
        }
    }

    /// Adds a vertex; whether it is new. One beyond the room never is.
    #[inline]
    pub(super) fn insert(&mut self, vertex: u32) -> bool {
        let Some(word) = self.words.get_mut(vertex as usize / 64) else {
            return false;
        };
        let bit = 1 << (vertex % 64);
        if *word & bit != 0 {
            return false;
        }
        if *word == 0 {
            self.touched.push(vertex / 64);
        }
        *word |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beam_keeps_the_nearest_and_expands_each_once() {
        let mut beam = Beam::default();
        beam.begin(3);
        for (distance, vertex) in [(7, 1), (9, 2), (3, 3), (8, 4), (7, 5)] {
            beam.offer(distance, vertex);
        }
        assert_eq!(beam.iter().collect::<Vec<_>>(), [(3, 3), (7, 1), (7, 5)]);
        assert_eq!((beam.expand(), beam.peek()), (Some(3), Some(1)));
        assert_eq!(beam.expand(), Some(1));
        beam.offer(0, 6);
        assert_eq!(
            (beam.bound(), beam.expand(), beam.expand()),
            (7, Some(6), None)
        );
        beam.begin(1);
        assert_eq!((beam.bound(), beam.expand()), (u32::MAX, None));
    }

    #[test]
    fn visited_vertices_are_forgotten_at_the_next_beginning() {
        let mut visited = Visited::default();
        for _ in 0..2 {
            visited.begin(130);
            assert!(visited.insert(129) && visited.insert(128) && visited.insert(0));
            assert!(!visited.insert(129) && !visited.insert(100_000));
        }
    }
}
