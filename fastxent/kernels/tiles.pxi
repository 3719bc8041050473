# CSR rows by tiles: strips of rows times blocks of columns. Where the weights do not fit the second-level cache, a row
# waits for most of the rows of weights that its entries name, and for those of the gradient. In a tile, the weights of
# a block of columns stay in that cache, while the logits of a strip of rows pass by one after the other. The entries of
# a row in a tile are its segment, which is to the tiles of simd_csr.h what a row is.
#
# Results have the bits of whole rows: an entry of the gradient is the sum over the rows in their order in both, and
# logits go by tiles only if rows are sorted by block and are summed up one entry after the other.

cdef struct Tiles:
    Py_ssize_t n_strips
    Py_ssize_t n_blocks
    const int64_t* bounds          # (n_strips + 1,): rows where strips begin
    const int64_t* tiles           # (n_strips * n_blocks + 1,): where the segments of tiles begin, strip by strip
    const uint16_t* row            # of each segment, counted from the strip's first
    const int64_t* first           # (segments + 1,): where their entries begin
    const void* indices
    const void* values
    bint logits                    # whether logits go by tiles, too

# Strips start..stop while their segments are counted or filled in.
cdef struct Tiling:
    const Rows* rows
    const int64_t* bounds
    Py_ssize_t start
    Py_ssize_t stop
    Py_ssize_t n_blocks
    int shift                      # a block has 2^shift columns
    int64_t* scratch               # (3, n_blocks)
    int64_t* counts                # (n_strips * n_blocks,): becomes the number of segments
    const int64_t* tiles
    uint16_t* row
    int64_t* first
    void* indices
    void* values
    bint sorted                    # becomes false if the blocks of a row are not


cdef inline Py_ssize_t strip_rows(const Layout* p, Py_ssize_t itemsize) noexcept nogil:
    """Rows of a strip: whole blocks of the layout; 0: there are no tiles."""
    if p.scheme != SPARSE or p.rows_in_lanes:
        return 0
    return clamp(tile_bytes() // (p.ldz * itemsize), p.block, 65536) // p.block * p.block


cdef int block_shift(const Layout* p, Py_ssize_t itemsize) noexcept nogil:
    """The logarithm of the number of columns whose weights fill the second-level cache."""
    cdef int shift = 0
    while (<Py_ssize_t>2 << shift) * p.ldw * itemsize <= tile_bytes():
        shift += 1
    return shift


cdef bint sums_by_entry(const Layout* p, Py_ssize_t L) noexcept nogil:
    """Whether csr_row_dot adds up the entries of a row one after the other, in all classes: its tiles of four registers
    and more do."""
    cdef Py_ssize_t chunk
    for chunk in range(steps(p.K, 8 * L)):
        if not 4 <= csr_tile(p.K, p.narrow, chunk * 8 * L, L) <= 8:
            return False
    return True


cdef int64_t* none_seen(const Tiling* t) noexcept nogil:
    """Return for each block the last row with an entry in it: none yet."""
    cdef Py_ssize_t block
    for block in range(t.n_blocks):
        t.scratch[block] = -1
    return t.scratch


cdef void count_segments(void* task, const real* unused, const index* j) noexcept nogil:
    cdef Tiling* t = <Tiling*>task
    cdef const index* indptr = <const index*>t.rows.indptr
    cdef Py_ssize_t s, i, e, block, last
    cdef int64_t* counts
    cdef int64_t* seen = none_seen(t)
    j = <const index*>t.rows.indices
    for s in range(t.start, t.stop):
        counts = t.counts + s * t.n_blocks
        memset(counts, 0, t.n_blocks * sizeof(int64_t))
        for i in range(t.bounds[s], t.bounds[s + 1]):
            last = 0
            for e in range(indptr[i], indptr[i + 1]):
                block = j[e] >> t.shift
                counts[block] += seen[block] != i
                seen[block] = i
                t.sorted = t.sorted and block >= last
                last = block


cdef void fill_segments(void* task, const real* x, const index* j) noexcept nogil:
    cdef Tiling* t = <Tiling*>task
    cdef const index* indptr = <const index*>t.rows.indptr
    cdef real* values = <real*>t.values
    cdef index* indices = <index*>t.indices
    cdef const int64_t* tiles
    cdef int64_t* seen = none_seen(t)
    cdef int64_t* entry = seen + t.n_blocks
    cdef int64_t* segment = entry + t.n_blocks
    cdef Py_ssize_t s, i, e, block
    cdef int64_t place
    j, x = <const index*>t.rows.indices, <const real*>t.rows.values
    for s in range(t.start, t.stop):
        tiles = t.tiles + s * t.n_blocks
        memset(entry, 0, t.n_blocks * sizeof(int64_t))
        for e in range(indptr[t.bounds[s]], indptr[t.bounds[s + 1]]):
            entry[j[e] >> t.shift] += 1
        place = indptr[t.bounds[s]]
        for block in range(t.n_blocks):  # from the numbers of entries to where they begin
            segment[block] = tiles[block]
            entry[block], place = place, place + entry[block]
        for i in range(t.bounds[s], t.bounds[s + 1]):
            for e in range(indptr[i], indptr[i + 1]):
                block = j[e] >> t.shift
                place = entry[block]
                if seen[block] != i:
                    t.row[segment[block]], t.first[segment[block]] = <uint16_t>(i - t.bounds[s]), place
                    segment[block] += 1
                    seen[block] = i
                indices[place], values[place] = j[e], x[e]
                entry[block] = place + 1


cdef Py_ssize_t strip_from(const Tiles* t, Py_ssize_t row) noexcept nogil:
    """Return the strip that begins with a row, n_strips for the end, or -1."""
    cdef Py_ssize_t low = 0, high = t.n_strips, middle
    while low < high:
        middle = (low + high) // 2
        if t.bounds[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low if t.bounds[low] == row else -1


cdef void strip_logits(const Tiles* t, const Layout* p, Py_ssize_t strip, const real* w, real* z,
                       const index* j) noexcept nogil:
    """z = the logits of a strip, rows ldz apart."""
    cdef Py_ssize_t i, s, L = lanes(w)
    cdef const real* x = <const real*>t.values
    j = <const index*>t.indices
    for i in range(t.bounds[strip + 1] - t.bounds[strip]):
        memcpy(z + i * p.ldz, w + p.d * p.ldw, round_up(p.K, L) * sizeof(real))
    for s in range(t.tiles[strip * t.n_blocks], t.tiles[(strip + 1) * t.n_blocks]):
        csr_row_dot(p, t.first[s + 1] - t.first[s], p.ahead, x + t.first[s], j + t.first[s], w, z + t.row[s] * p.ldz)


# Blocks of columns first..stop. The intercepts belong to the last.
cdef struct ColumnBlocks:
    Py_ssize_t first
    Py_ssize_t stop


cdef void strip_gradient(const Tiles* t, const Layout* p, Py_ssize_t strip, const ColumnBlocks* some, const real* q,
                         real* g, const index* j) noexcept nogil:
    """g += the gradient of a strip, of some columns; q: dL/dz of its rows, ldz apart."""
    cdef Py_ssize_t i, k, s
    cdef const int64_t* tiles = t.tiles + strip * t.n_blocks
    cdef const real* x = <const real*>t.values
    cdef real* bias = g + p.d * p.ldw
    j = <const index*>t.indices
    for s in range(tiles[some.first], tiles[some.stop]):
        csr_row_add(p, t.first[s + 1] - t.first[s], p.ahead, x + t.first[s], j + t.first[s], q + t.row[s] * p.ldz, g)
    if some.stop == t.n_blocks:
        for i in range(t.bounds[strip + 1] - t.bounds[strip]):
            for k in range(p.K):
                bias[k] += q[i * p.ldz + k]
