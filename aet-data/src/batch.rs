//! [`HostBatch`]: what leaves the loader, in plain vectors, ready to be moved to a device.

/// A batch in host memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostBatch {
    /// Epoch that the batch belongs to.
    pub epoch: u64,
    /// Step in the epoch, from 0.
    pub step: usize,
    /// Index of every item in its set, `[batch]`.
    pub indices: Vec<usize>,
    /// Normalised images, one vector a view, each `[batch, 3, height, width]`.
    pub views: Vec<Vec<f32>>,
    /// `[batch, 3, height, width]`, the same for all views.
    pub view_shape: [usize; 4],
    /// Normalised targets, `[batch, target_len]`.
    pub targets: Vec<f32>,
    /// Numbers in the target of one item.
    pub target_len: usize,
    /// Label of every item, `[batch]`.
    pub labels: Vec<Option<u32>>,
}

impl HostBatch {
    /// Items in the batch.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no item in it.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Makes room for `views` views of `shape` and targets of `target_len`, using the memory that
    /// is there. All numbers are to be overwritten.
    pub(crate) fn reshape(&mut self, views: usize, shape: [usize; 4], target_len: usize) {
        self.views.resize_with(views, Vec::new);
        for view in &mut self.views {
            view.resize(shape.iter().product(), 0.0);
        }
        self.view_shape = shape;
        self.targets.resize(shape[0] * target_len, 0.0);
        self.target_len = target_len;
        self.indices.clear();
        self.labels.clear();
    }

    /// Takes the items that were made, by their places; those that were left out make way.
    pub(crate) fn settle(&mut self, made: &[Option<usize>]) {
        let left = made.iter().flatten().count();
        if left < made.len() {
            let view_len: usize = self.view_shape[1..].iter().product();
            for view in &mut self.views {
                close_gaps(view, view_len, made);
            }
            close_gaps(&mut self.targets, self.target_len, made);
            self.view_shape[0] = left;
        }
        self.indices.extend(made.iter().flatten());
    }
}

/// Moves the rows of `values`, each `len` long, over those that were not made.
fn close_gaps(values: &mut Vec<f32>, len: usize, made: &[Option<usize>]) {
    let rows = made.iter().enumerate().filter(|(_, made)| made.is_some());
    let mut end = 0;
    for (row, _) in rows {
        values.copy_within(row * len..(row + 1) * len, end);
        end += len;
    }
    values.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_were_left_out_leave_no_gap() {
        let mut batch = HostBatch::default();
        batch.reshape(1, [4, 1, 1, 2], 1);
        batch.views[0] = vec![0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0];
        batch.targets = vec![5.0, 6.0, 7.0, 8.0];
        batch.settle(&[None, Some(9), None, Some(4)]);
        assert_eq!(batch.views[0], [10.0, 11.0, 30.0, 31.0]);
        assert_eq!(batch.targets, [6.0, 8.0]);
        assert_eq!((batch.view_shape[0], &batch.indices[..]), (2, &[9, 4][..]));
    }
}
