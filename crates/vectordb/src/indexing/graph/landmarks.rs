//! Landmarks: vertices where searches begin because nothing that is near leads to where they lie.
//!
//! Vectors may lie in groups far from each other. The neighbours of a vertex are then all of its own group, and a
//! search that begins in another never gets there. Such a group has a landmark.

use common::Slot;
use rayon::prelude::*;

use super::GraphIndex;
use super::build::Builder;
use super::links::Links;
use crate::core::VectorRows;

/// Most landmarks of a graph: each search compares its query with all of them.
pub(super) const LANDMARKS_MAX: usize = 128;
/// Vectors among which landmarks are looked for.
const SAMPLE: usize = 2_048;
/// A landmark is the beginning for at least this share of the sample.
const GROUP_SHARE: usize = 1_024;
const GROUP_MIN: usize = 3;
/// After so many vectors in a row that lie far from others and are no landmark, none is looked for any more.
const LONERS_MAX: usize = 32;
/// A vertex is apart from others that are so many times as far from it as they are from each other.
const APART: u32 = 2;
/// As many neighbours as tell how far they are from each other.
const NEIGHBOURS_MIN: usize = 4;

impl GraphIndex {
    /// Landmarks for groups of vectors that searches begin far from; `entry` says where they do.
    ///
    /// They are chosen from a sample, the farthest from its beginning first (Gonzalez, 1985); one that would not
    /// bring others much nearer to theirs lies alone.
    pub(super) fn choose_landmarks(
        &self,
        rows: &VectorRows,
        entry: &(impl Fn(u32) -> u32 + Sync),
    ) -> Vec<u32> {
        let step = (rows.len() / SAMPLE).max(1);
        let sample: Vec<u32> = rows.slots().step_by(step).map(|slot| slot.0).collect();
        let distance = |a, b| {
            let row = |id| self.codes.row(Slot(id));
            self.codes.distance(row(a), row(b))
        };
        let mut farness: Vec<u32> = sample
            .par_iter()
            .map(|id| distance(*id, entry(*id)))
            .collect();
        let group = (sample.len() / GROUP_SHARE).max(GROUP_MIN);
        let factor = self.apart();
        let mut landmarks = Vec::new();
        let mut is_loner = vec![false; sample.len()];
        let mut loners = 0;
        while landmarks.len() < LANDMARKS_MAX && loners < LONERS_MAX {
            let known = sample.iter().zip(&farness).zip(&is_loner);
            let far = known.enumerate().filter(|(_, (_, is_loner))| !**is_loner);
            let Some((at, ((farthest, _), _))) = far.max_by_key(|(_, ((_, far), _))| **far) else {
                break;
            };
            let near: Vec<u32> = sample
                .par_iter()
                .map(|id| distance(*farthest, *id))
                .collect();
            let brought = near.iter().zip(&farness);
            let brought = brought.filter(|(near, far)| near.saturating_mul(factor) < **far);
            if brought.count() < group {
                if let Some(is_loner) = is_loner.get_mut(at) {
                    *is_loner = true;
                }
                loners += 1;
                continue;
            }
            loners = 0;
            landmarks.push(*farthest);
            for (far, near) in farness.iter_mut().zip(near) {
                *far = near.min(*far);
            }
        }
        landmarks
    }

    /// How many times as far others are, as these codes measure, for a vertex to be apart from them.
    pub(super) fn apart(&self) -> u32 {
        if self.has_squares() {
            APART * APART
        } else {
            APART
        }
    }
}

impl Builder<'_> {
    /// Whether a vertex that was just linked is far from its neighbours and few of them keep it for one of theirs.
    pub(super) fn is_apart(&self, links: &Links, vertex: u32, apart: u32) -> bool {
        let list = |id: u32| links.of(id >> self.shift);
        let Some(nearest) = list(vertex).first() else {
            return false;
        };
        let keep = list(vertex)
            .iter()
            .filter(|id| list(**id).contains(&vertex));
        if 2 * keep.count() > list(vertex).len() {
            return false;
        }
        let others = list(*nearest).iter().filter(|id| **id != vertex);
        let mut distances: Vec<u32> = others.map(|id| self.distance(*nearest, *id)).collect();
        distances.sort_unstable();
        let median = distances.get(distances.len() / 2).copied();
        distances.len() >= NEIGHBOURS_MIN
            && median.is_some_and(|median| {
                median.saturating_mul(apart) < self.distance(vertex, *nearest)
            })
    }
}
