// make_x86_cpu: the CPU with its translator.
#include "guest/x86/cpu.h"
#include "guest/x86/translate/frontend.h"

namespace doppel::x86 {

namespace {
// The frontend looks at the model as long as it lives: it keeps a copy of its own beside it.
class OwnedFrontend final : public guest::Frontend {
 public:
  explicit OwnedFrontend(const CpuModel& model) : model_(model), inner_(make_frontend(model_)) {}
  void translate(const guest::TranslateRequest& request, ir::Region& out) override { inner_->translate(request, out); }
  const ir::StateLayout& layout() const override { return inner_->layout(); }
  const ir::HelperTable& helpers() const override { return inner_->helpers(); }
  size_t disassemble(const u8* bytes, size_t size, u64 pc, u64 mode, std::string& text) const override {
    return inner_->disassemble(bytes, size, pc, mode, text);
  }

 private:
  const CpuModel model_;
  std::unique_ptr<guest::Frontend> inner_;
};
}  // namespace

std::unique_ptr<guest::GuestCpu> make_x86_cpu(const CpuModel& model, Platform& platform, u32 index) {
  return std::make_unique<X86Cpu>(model, platform, index, std::make_unique<OwnedFrontend>(model));
}

}  // namespace doppel::x86
