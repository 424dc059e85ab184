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
}
