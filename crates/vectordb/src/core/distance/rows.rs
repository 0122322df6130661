//! What kernels over rows of numbers have in common, whatever the width of a register.

/// Makes the kernels of one form of distance over rows of one kind of element: `one`, `four` and `tile`, and
/// the [`RowKernels`](crate::core::distance::kernels::RowKernels) of them. Where it is used, there are
///
/// - `entry`, which makes a function of any context from one that enables instructions;
/// - `Register` and `LANES`, the floats of it; `zero` and `load`, of floats of a query; `tiled`, which does four
///   queries by `block` in as many steps as the registers ask for;
/// - `$scale`, what elements of a row are multiplied by, in each lane;
/// - `$widen` and `$widen_last`: so many elements of a row as floats, and the last ones of a row;
/// - `$step`, which folds two registers into a third, `$merge` of two folds, and `$finish`, the fold of lanes.
macro_rules! kernels {
    (
        $features:literal, $name:ident, $element:ty, $scale:ident, $widen:ident, $widen_last:ident,
        $step:ident, $merge:ident, $finish:ident
    ) => {
        mod $name {
            use super::*;

            /// The elements that query and row both have, by registers, and the last apart.
            macro_rules! parts {
                ($query:expr, $row:expr) => {{
                    let (query, row): (&[[f32; LANES]], &[[$element; LANES]]) =
                        ($query.as_chunks().0, $row.as_chunks().0);
                    let count = query.len().min(row.len());
                    let query = query.split_at_checked(count).unwrap_or_default().0;
                    let row = row.split_at_checked(count).unwrap_or_default().0;
                    (query.split_last(), row.split_last())
                }};
            }

            #[target_feature(enable = $features)]
            pub(super) fn one(query: &[f32], row: &[$element]) -> f32 {
                let scale = $scale(row);
                let (Some((last_q, query)), Some((last_r, row))) = parts!(query, row) else {
                    return 0.0;
                };
                let ((query, rest_q), (row, rest_r)) = (query.as_chunks(), row.as_chunks());
                let [mut s0, mut s1, mut s2, mut s3] = [zero(); 4];
                for ([q0, q1, q2, q3], [r0, r1, r2, r3]) in query.iter().zip(row) {
                    s0 = $step(s0, load(q0), $widen(r0, scale));
                    s1 = $step(s1, load(q1), $widen(r1, scale));
                    s2 = $step(s2, load(q2), $widen(r2, scale));
                    s3 = $step(s3, load(q3), $widen(r3, scale));
                }
                for (q, r) in rest_q.iter().zip(rest_r) {
                    s0 = $step(s0, load(q), $widen(r, scale));
                }
                s1 = $step(s1, load(last_q), $widen_last(last_r, scale));
                $finish($merge($merge(s0, s1), $merge(s2, s3)))
            }

            #[target_feature(enable = $features)]
            fn four(query: &[f32], rows: [&[$element]; 4]) -> [f32; 4] {
                let [a, b, c, d] = rows;
                let [k, l, m, n] = [$scale(a), $scale(b), $scale(c), $scale(d)];
                let (
                    (Some((last_q, query)), Some((last_a, a))),
                    (_, Some((last_b, b))),
                    (_, Some((last_c, c))),
                    (_, Some((last_d, d))),
                ) = (
                    parts!(query, a),
                    parts!(query, b),
                    parts!(query, c),
                    parts!(query, d),
                )
                else {
                    return [0.0; 4];
                };
                let (query, rest_q) = query.as_chunks();
                let ((a, rest_a), (b, rest_b)) = (a.as_chunks(), b.as_chunks());
                let ((c, rest_c), (d, rest_d)) = (c.as_chunks(), d.as_chunks());
                let [mut a0, mut b0, mut c0, mut d0] = [zero(); 4];
                let [mut a1, mut b1, mut c1, mut d1] = [zero(); 4];
                let ab = a.iter().zip(b);
                let cd = c.iter().zip(d);
                for (([q0, q1], ([ra0, ra1], [rb0, rb1])), ([rc0, rc1], [rd0, rd1])) in
                    query.iter().zip(ab).zip(cd)
                {
                    let (q0, q1) = (load(q0), load(q1));
                    a0 = $step(a0, q0, $widen(ra0, k));
                    b0 = $step(b0, q0, $widen(rb0, l));
                    c0 = $step(c0, q0, $widen(rc0, m));
                    d0 = $step(d0, q0, $widen(rd0, n));
                    a1 = $step(a1, q1, $widen(ra1, k));
                    b1 = $step(b1, q1, $widen(rb1, l));
                    c1 = $step(c1, q1, $widen(rc1, m));
                    d1 = $step(d1, q1, $widen(rd1, n));
                }
                let ab = rest_a.iter().zip(rest_b);
                let cd = rest_c.iter().zip(rest_d);
                for ((q, (ra, rb)), (rc, rd)) in rest_q.iter().zip(ab).zip(cd) {
                    let q = load(q);
                    a0 = $step(a0, q, $widen(ra, k));
                    b0 = $step(b0, q, $widen(rb, l));
                    c0 = $step(c0, q, $widen(rc, m));
                    d0 = $step(d0, q, $widen(rd, n));
                }
                let q = load(last_q);
                a1 = $step(a1, q, $widen_last(last_a, k));
                b1 = $step(b1, q, $widen_last(last_b, l));
                c1 = $step(c1, q, $widen_last(last_c, m));
                d1 = $step(d1, q, $widen_last(last_d, n));
                [
                    $finish($merge(a0, a1)),
                    $finish($merge(b0, b1)),
                    $finish($merge(c0, c1)),
                    $finish($merge(d0, d1)),
                ]
            }

            /// Distances of `N` queries to four rows, in as many registers as there are distances. All are of
            /// the same length.
            //
            // No closure for arrays' `map` here: it would not be inlined into what enables no instructions.
            #[inline]
            #[target_feature(enable = $features)]
            fn block<const N: usize>(
                queries: [&[[f32; LANES]]; N],
                rows: [&[[$element; LANES]]; 4],
                scales: [Register; 4],
            ) -> [[f32; 4]; N] {
                let mut sums = [[zero(); 4]; N];
                let ([a, b, c, d], [k, l, m, n]) = (rows, scales);
                let count = a.len();
                // Said once, so that it is not checked in each step.
                if queries.iter().any(|query| query.len() != count) {
                    return [[0.0; 4]; N];
                }
                let ab = a.iter().zip(b);
                let cd = c.iter().zip(d);
                for (at, ((ra, rb), (rc, rd))) in ab.zip(cd).enumerate() {
                    let rows = if at + 1 < count {
                        [$widen(ra, k), $widen(rb, l), $widen(rc, m), $widen(rd, n)]
                    } else {
                        [
                            $widen_last(ra, k),
                            $widen_last(rb, l),
                            $widen_last(rc, m),
                            $widen_last(rd, n),
                        ]
                    };
                    for (sums, query) in sums.iter_mut().zip(queries) {
                        if let Some(query) = query.get(at) {
                            let query = load(query);
                            for (sum, row) in sums.iter_mut().zip(rows) {
                                *sum = $step(*sum, query, row);
                            }
                        }
                    }
                }
                let mut distances = [[0.0; 4]; N];
                for (distances, sums) in distances.iter_mut().zip(sums) {
                    for (distance, sum) in distances.iter_mut().zip(sums) {
                        *distance = $finish(sum);
                    }
                }
                distances
            }

            #[target_feature(enable = $features)]
            fn tile(queries: [&[f32]; 4], rows: [&[$element]; 4]) -> [[f32; 4]; 4] {
                let ([p, q, r, s], [a, b, c, d]) = (queries, rows);
                let scales = [$scale(a), $scale(b), $scale(c), $scale(d)];
                let count = [p.len(), q.len(), r.len(), s.len(), a.len(), b.len(), c.len(), d.len()]
                    .into_iter()
                    .fold(usize::MAX, usize::min);
                let queries = [chunks(p, count), chunks(q, count), chunks(r, count), chunks(s, count)];
                let rows = [chunks(a, count), chunks(b, count), chunks(c, count), chunks(d, count)];
                tiled!(block, queries, rows, scales)
            }

            /// The kernels, for whoever has the proof that `rows` of the level takes.
            pub(super) fn all() -> RowKernels {
                entry!(one_row = one_line, (query: &[Line], row: &[Line]) -> f32);
                entry!(four_rows = four_lines, (query: &[Line], rows: [&[Line]; 4]) -> [f32; 4]);
                entry!(
                    tile_rows = tile_lines,
                    (queries: [&[Line]; 4], rows: [&[Line]; 4]) -> [[f32; 4]; 4]
                );
                RowKernels {
                    one: one_row,
                    four: four_rows,
                    tile: tile_rows,
                }
            }

            #[target_feature(enable = $features)]
            fn one_line(query: &[Line], row: &[Line]) -> f32 {
                one(bytemuck::cast_slice(query), bytemuck::cast_slice(row))
            }

            #[target_feature(enable = $features)]
            fn four_lines(query: &[Line], rows: [&[Line]; 4]) -> [f32; 4] {
                four(bytemuck::cast_slice(query), rows.map(bytemuck::cast_slice))
            }

            #[target_feature(enable = $features)]
            fn tile_lines(queries: [&[Line]; 4], rows: [&[Line]; 4]) -> [[f32; 4]; 4] {
                tile(queries.map(bytemuck::cast_slice), rows.map(bytemuck::cast_slice))
            }
        }
    };
}
pub(super) use kernels;

/// The first elements, by as many as fill a register.
#[inline]
pub(super) fn chunks<T, const LANES: usize>(elements: &[T], count: usize) -> &[[T; LANES]] {
    elements.get(..count).unwrap_or_default().as_chunks().0
}
