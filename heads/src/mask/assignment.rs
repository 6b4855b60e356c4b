//! Exact assignment: which rows and columns of a cost matrix to pair so that the sum of their costs is least.
//!
//! Method: one shortest augmenting path a row, with potentials (Jonker and Volgenant, A Shortest Augmenting Path Algorithm
//! for Dense and Sparse Linear Assignment Problems, Computing 38, 1987), for rectangular matrices as in Crouse, On
//! Implementing 2D Rectangular Assignment Algorithms, IEEE TAES 52(4), 2016, <https://doi.org/10.1109/TAES.2016.140952>.
//! Reference code: scipy `linear_sum_assignment`, licence BSD-3-Clause; of several optima we find the same one.
//! Differs from the reference: infinite costs are refused, not taken for forbidden pairs.
//! Complexity: O(r^2 c) for r rows and c columns with r <= c, in f64; `cargo bench -p smalti-heads --bench assignment` has times.
//! Checked by: the tests below (all permutations of small matrices, dual feasibility of large ones) and
//! `tests/parity_mask_loss.rs` (scipy's pairs, ties included).
//!
//! Why not a crate: `lapjv` takes square matrices only, `pathfinding`'s Kuhn-Munkres takes no more rows than columns and
//! numbers in total order, and can loop on an infinity; `lsap` is rectangular and as fast, but has had no release since 2023,
//! does not say which cost is not finite, and gives no potentials to check a result by.

use ndarray::ArrayRef2;

/// Largest size of a cost: sums along a path stay finite.
const MAX_COST: f64 = 1e300;

/// What the assignment refuses.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum AssignmentError {
    /// A cost that has no place in an order or whose sums would overflow.
    #[error(
        "cost of row {row} and column {column}: expected a finite number of at most 1e300 in size, got {value}"
    )]
    Cost {
        /// Row of the matrix.
        row: usize,
        /// Column of the matrix.
        column: usize,
        /// The cost.
        value: f64,
    },
}

/// The pairs (row, column) of the least total cost in `costs` `[R, C]`, `min(R, C)` of them, in order of their rows.
///
/// # Errors
/// [`AssignmentError::Cost`] naming the first cost that is not finite.
pub fn assign<T: Copy + Into<f64>>(costs: &ArrayRef2<T>) -> Result<Vec<(usize, usize)>, AssignmentError> {
    for ((row, column), &cost) in costs.indexed_iter() {
        let value = cost.into();
        if value.is_nan() || value.abs() > MAX_COST {
            return Err(AssignmentError::Cost { row, column, value });
        }
    }
    let (rows, columns) = costs.dim();
    if rows <= columns {
        let found = Solver::solve(costs.iter().map(|&cost| cost.into()).collect(), rows, columns);
        return Ok(found.column_of.into_iter().enumerate().collect());
    }
    // Every row has to find a column, so the shorter side has to be the rows.
    let found = Solver::solve(costs.t().iter().map(|&cost| cost.into()).collect(), columns, rows);
    let mut pairs: Vec<(usize, usize)> =
        found.column_of.into_iter().enumerate().map(|(column, row)| (row, column)).collect();
    pairs.sort_unstable();
    Ok(pairs)
}

/// No row, of a column that is not paired yet.
const FREE: usize = usize::MAX;

/// The state between two rows: a cheapest pairing of the rows so far, and potentials that prove it.
///
/// A reduced cost, `cost - row_potentials - column_potentials`, is never negative and is 0 in a pair; column potentials
/// are never positive and are 0 of free columns. So no other pairing can be cheaper.
struct Solver {
    costs: Vec<f64>, // [R, C], R <= C
    columns: usize,
    row_potentials: Vec<f64>,
    column_potentials: Vec<f64>,
    column_of: Vec<usize>,
    row_of: Vec<usize>,
    // Of the path search, kept from row to row:
    distances: Vec<f64>,   // length of the shortest path to each column
    previous: Vec<usize>,  // the row before each column on it
    unreached: Vec<usize>, // columns outside the tree of shortest paths
    tree: Vec<usize>,      // paired columns inside it
}

impl Solver {
    fn solve(costs: Vec<f64>, rows: usize, columns: usize) -> Self {
        let mut solver = Self {
            costs,
            columns,
            row_potentials: vec![0.0; rows],
            column_potentials: vec![0.0; columns],
            column_of: vec![FREE; rows],
            row_of: vec![FREE; columns],
            distances: vec![0.0; columns],
            previous: vec![FREE; columns],
            unreached: Vec::with_capacity(columns),
            tree: Vec::with_capacity(rows),
        };
        for row in 0..rows {
            solver.pair(row);
        }
        solver
    }

    /// Pairs one more row, changing earlier pairs where that is cheaper.
    fn pair(&mut self, start: usize) {
        let (end, length) = self.shortest_path(start);
        // Potentials move just so far that the whole path has reduced costs of 0.
        self.row_potentials[start] += length;
        for &column in &self.tree {
            let rest = length - self.distances[column];
            self.row_potentials[self.row_of[column]] += rest;
            self.column_potentials[column] -= rest;
        }
        // Backwards along the path, every row takes the next column in place of the one it came by.
        let mut column = end;
        loop {
            let row = self.previous[column];
            self.row_of[column] = row;
            std::mem::swap(&mut self.column_of[row], &mut column);
            if row == start {
                return;
            }
        }
    }

    /// The nearest free column and its distance, by Dijkstra's search over reduced costs.
    fn shortest_path(&mut self, start: usize) -> (usize, f64) {
        self.distances.fill(f64::INFINITY);
        self.tree.clear();
        self.unreached.clear();
        // In falling order, so that a constant matrix gives the identity, as the reference.
        self.unreached.extend((0..self.columns).rev());
        let (mut row, mut length) = (start, 0.0);
        loop {
            let costs = &self.costs[row * self.columns..][..self.columns];
            let base = length - self.row_potentials[row];
            let (mut nearest, mut least) = (0, f64::INFINITY);
            for (place, &column) in self.unreached.iter().enumerate() {
                let through = base + (costs[column] - self.column_potentials[column]);
                if through < self.distances[column] {
                    self.distances[column] = through;
                    self.previous[column] = row;
                }
                let distance = self.distances[column];
                // Of equally near columns a free one ends the search.
                if distance < least || (distance == least && self.row_of[column] == FREE) {
                    (nearest, least) = (place, distance);
                }
            }
            length = least;
            let column = self.unreached.swap_remove(nearest);
            if self.row_of[column] == FREE {
                return (column, length);
            }
            self.tree.push(column);
            row = self.row_of[column];
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    use super::*;

    fn total(costs: &Array2<f64>, pairs: &[(usize, usize)]) -> f64 {
        pairs.iter().map(|&pair| costs[pair]).sum()
    }

    /// The least total over all ways to give each row from `row` on a column of its own.
    fn least(costs: &Array2<f64>, row: usize, taken: &mut Vec<bool>) -> f64 {
        if row == costs.nrows() {
            return 0.0;
        }
        let mut best = f64::INFINITY;
        for column in 0..costs.ncols() {
            if !taken[column] {
                taken[column] = true;
                best = best.min(costs[(row, column)] + least(costs, row + 1, taken));
                taken[column] = false;
            }
        }
        best
    }

    fn brute_force(costs: &Array2<f64>) -> f64 {
        let costs = if costs.nrows() > costs.ncols() { costs.t().to_owned() } else { costs.clone() };
        least(&costs, 0, &mut vec![false; costs.ncols()])
    }

    /// Each row and each column at most once, as many pairs as fit, in order of rows.
    fn assert_a_pairing(pairs: &[(usize, usize)], (rows, columns): (usize, usize)) {
        assert_eq!(pairs.len(), rows.min(columns));
        assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0), "{pairs:?}");
        let mut taken: Vec<usize> = pairs.iter().map(|&(_, column)| column).collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), pairs.len(), "{pairs:?}");
        assert!(pairs.iter().all(|&(row, column)| row < rows && column < columns));
    }

    #[test]
    fn cases_worked_by_hand() {
        // 2 + 1 + 0; row by row the cheapest column that is left would cost 1 + 5 + 0.
        let square = array![[1.0, 2.0, 9.0], [1.0, 5.0, 9.0], [9.0, 9.0, 0.0]];
        assert_eq!(assign(&square).unwrap(), [(0, 1), (1, 0), (2, 2)]);
        // More rows than columns: rows 1 and 2 stay; f32 is taken as it is.
        let tall = array![[9.0_f32, 9.0], [1.0, 8.0], [7.0, -2.0]];
        assert_eq!(assign(&tall).unwrap(), [(1, 0), (2, 1)]);
        assert_eq!(assign(&tall.t()).unwrap(), [(0, 1), (1, 2)]);
        assert_eq!(assign(&Array2::<f64>::zeros((3, 5))).unwrap(), [(0, 0), (1, 1), (2, 2)]);
    }

    #[test]
    fn an_empty_side_has_no_pairs() {
        for size in [(0, 0), (0, 4), (4, 0)] {
            assert_eq!(assign(&Array2::<f64>::zeros(size)).unwrap(), []);
        }
    }

    #[test]
    fn costs_that_are_no_numbers_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            let mut costs = Array2::zeros((3, 2));
            costs[(2, 1)] = value;
            let AssignmentError::Cost { row, column, value: found } = assign(&costs).unwrap_err();
            assert_eq!((row, column, found.to_bits()), (2, 1, value.to_bits()));
        }
        let huge = array![[MAX_COST, -MAX_COST], [-MAX_COST, -MAX_COST]];
        assert_eq!(assign(&huge).unwrap(), [(0, 1), (1, 0)]);
    }

    fn sizes(max: usize) -> impl Strategy<Value = (usize, usize)> {
        (1..=max, 1..=max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Few distinct whole numbers: nearly every matrix has ties, and sums are exact.
        #[test]
        fn no_pairing_is_cheaper(costs in sizes(6).prop_flat_map(|(rows, columns)| {
            proptest::collection::vec(-4i32..5, rows * columns)
                .prop_map(move |v| Array2::from_shape_vec((rows, columns), v).unwrap().mapv(f64::from))
        })) {
            let pairs = assign(&costs).unwrap();
            assert_a_pairing(&pairs, costs.dim());
            prop_assert_eq!(total(&costs, &pairs), brute_force(&costs));
        }

        #[test]
        fn no_pairing_of_fractions_is_cheaper(costs in sizes(6).prop_flat_map(|(rows, columns)| {
            proptest::collection::vec(-1e3f64..1e3, rows * columns)
                .prop_map(move |v| Array2::from_shape_vec((rows, columns), v).unwrap())
        })) {
            let pairs = assign(&costs).unwrap();
            assert_a_pairing(&pairs, costs.dim());
            prop_assert!((total(&costs, &pairs) - brute_force(&costs)).abs() < 1e-9);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The potentials prove the optimum where there are too many pairings to try.
        #[test]
        fn potentials_prove_the_optimum(
            rows in 1usize..60,
            more in 0usize..60,
            whole in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let columns = rows + more;
            let mut state = seed;
            let costs: Vec<f64> = (0..rows * columns)
                .map(|_| {
                    // Knuth's linear congruential generator; the high bits are random enough.
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let fraction = (state >> 11) as f64 / (1_u64 << 53) as f64;
                    if whole { (fraction * 10.0).floor() } else { fraction * 200.0 - 100.0 }
                })
                .collect();
            let found = Solver::solve(costs.clone(), rows, columns);
            for row in 0..rows {
                for column in 0..columns {
                    let reduced =
                        costs[row * columns + column] - found.row_potentials[row] - found.column_potentials[column];
                    prop_assert!(reduced >= -1e-9, "{row}, {column}: {reduced}");
                    if found.column_of[row] == column {
                        prop_assert!(reduced.abs() <= 1e-9, "{row}, {column}: {reduced}");
                    }
                }
            }
            for (column, &potential) in found.column_potentials.iter().enumerate() {
                prop_assert!(potential <= 0.0);
                prop_assert!(found.row_of[column] != FREE || potential == 0.0);
            }
        }
    }
}
