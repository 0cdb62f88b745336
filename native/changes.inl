// Writes what changes of a row of kept counts (Changes in kernels.h). Included into a namespace of its own by whoever writes
// such rows, so that no CPU runs what was compiled for another one's instruction set.

template <class Spike>
class ChangeWriter {
 public:
  ChangeWriter(const Changes& changes, int y)
      : c_(changes),
        y_(y),
        words_(changes.words + size_t(y) * (changes.capacity + 16)),
        deltas_(changes.deltas + size_t(y) * (changes.capacity + 16)),
        first_(changes.first + size_t(y) * (changes.width + 1)),
        cell_(size_t(y) * changes.width) {}

  // Cells come in their order, each with those of its groups of 16 channels that may have changed, in theirs.
  void beginCell(int x) {
    first_[x] = count_;
    sum_ = sent_ = 0;
  }

  void endCell(int x) {
    c_.sums[cell_ + x] = sum_;
    c_.sent[cell_ + x] = sent_;
    spikes_ += sent_;
    cells_ += sent_ != 0;
  }

  // A cell in which nothing changed.
  void skipCell(int x) {
    first_[x] = count_;
    c_.sums[cell_ + x] = c_.sent[cell_ + x] = 0;
  }

  uint8_t* valuesAt(int x, int channel) const {
    return c_.values + ((cell_ + x) * c_.paddedChannels + channel) * sizeof(Spike);
  }

  // Sets the 16 counts from `channel` on, at `values`, to those at `now`.
  void put(int channel, uint8_t* values, const uint8_t* now) {
    Spike old[16], next[16];
    __builtin_memcpy(old, values, sizeof old);
    __builtin_memcpy(next, now, sizeof next);
    __builtin_memcpy(values, now, sizeof next);
    int16_t d[16];
    int sum = 0, magnitude = 0, largest = 0;
    for (int i = 0; i < 16; i++) d[i] = int16_t(next[i] - old[i]);
    for (int i = 0; i < 16; i++) {
      const int size = d[i] < 0 ? -d[i] : d[i];
      sum += d[i];
      magnitude += size;
      largest = size > largest ? size : largest;
    }
    if (magnitude == 0) return;
    sum_ += sum;
    if (c_.digits) {
      // a number's canonical form has a digit for each bit in which it differs from three times itself
      magnitude = 0;
      for (int i = 0; i < 16; i++) {
        const unsigned size = unsigned(d[i] < 0 ? -d[i] : d[i]);
        magnitude += __builtin_popcount(size ^ (3 * size));
      }
    }
    sent_ += magnitude;
    for (int i = 0; i < 16; i += 4) groups_ += (d[i] | d[i + 1] | d[i + 2] | d[i + 3]) != 0;
    if (full_) return;
    constexpr int kChannels = 4 / int(sizeof(Spike));
    if (sizeof(Spike) == 2 || largest <= 127) {
      Spike narrow[16];
      for (int i = 0; i < 16; i++) narrow[i] = Spike(d[i]);
      push(channel / kChannels, narrow);
    } else {
      for (bool left = true; left;) {
        Spike part[16];
        left = false;
        for (int i = 0; i < 16; i++) {
          const int16_t digit = d[i] > 127 ? 127 : d[i] < -127 ? -127 : d[i];
          part[i] = Spike(digit);
          d[i] = int16_t(d[i] - digit);
          left |= d[i] != 0;
        }
        push(channel / kChannels, part);
      }
    }
  }

  void endRow() {
    first_[c_.width] = count_;
    c_.rows[y_] = cells_ == 0 ? RowState::kQuiet : full_ ? RowState::kFull : RowState::kListed;
    c_.listed[y_] = count_;
    c_.changedCells[y_] = cells_;
    c_.groups[y_] = groups_;
    c_.spikes[y_] = spikes_;
  }

 private:
  // Lists those of 16 channels' words that are not 0; a row's list has room for 16 more than it may hold.
  void push(int word, const Spike* deltas) {
    if (full_ || count_ > c_.capacity) {
      full_ = true;
      return;
    }
    constexpr int kWords = 4 * int(sizeof(Spike));
    for (int i = 0; i < kWords; i++) {
      uint32_t delta;
      __builtin_memcpy(&delta, deltas + i * (4 / sizeof(Spike)), 4);
      words_[count_] = uint16_t(word + i);
      deltas_[count_] = delta;
      count_ += delta != 0;
    }
  }

  const Changes& c_;
  const int y_;
  uint16_t* words_;
  uint32_t* deltas_;
  int32_t* first_;
  const size_t cell_;
  int count_ = 0, sum_ = 0, sent_ = 0, cells_ = 0, groups_ = 0;
  double spikes_ = 0;
  bool full_ = false;
};
