// FetchFaults: guest CPUs that enter the exception of code that can't be fetched without a region for it. Worth it
// where a kernel fills the TLB by itself.
#pragma once

namespace doppel::guest {

class FetchFaults {
 public:
  virtual ~FetchFaults() = default;
  // The first byte at the pc can't be fetched, as the MMU just said. True: that exception is entered. False: the region
  // that is made there raises it.
  virtual bool enter_fetch_fault() = 0;
};

}  // namespace doppel::guest
