// img info and img check: what an image is, and whether it is in order.
#include <cstdio>

#include "app/img/arguments.h"
#include "app/img/img.h"
#include "app/img/report.h"
#include "block/open.h"
#include "block/qcow2/qcow2.h"

namespace doppel::app::img {
namespace {

using block::qcow2::CheckResult;
using block::qcow2::Repair;

constexpr int kCheckError = 1, kCorrupt = 2, kLeaks = 3, kNotSupported = 63;

Result<ImageReport> report_on(const std::string& path, const std::string& format, bool shared) {
  auto node = open_image(path, {.read_only = true, .format = format, .shared = shared, .no_backing = true});
  if (!node) return node.error();
  return ImageReport{.filename = path, .info = (*node)->info(), .disk_size = (*node)->allocated_bytes()};
}

void print_findings(const CheckResult& r) {
  if (r.corruptions == 0 && r.leaks == 0 && r.check_errors == 0) {
    std::puts("No errors were found on the image.");
  } else {
    if (r.corruptions != 0)
      std::printf(
          "\n%llu errors were found on the image.\n"
          "Data may be corrupted, or further writes to the image may corrupt it.\n",
          static_cast<unsigned long long>(r.corruptions));
    if (r.leaks != 0)
      std::printf(
          "\n%llu leaked clusters were found on the image.\n"
          "This means waste of disk space, but no harm to data.\n",
          static_cast<unsigned long long>(r.leaks));
    if (r.check_errors != 0)
      std::printf("\n%llu internal errors have occurred during the check.\n",
                  static_cast<unsigned long long>(r.check_errors));
  }
  if (r.total_clusters != 0 && r.allocated_clusters != 0) {
    const double allocated = static_cast<double>(r.allocated_clusters);
    std::printf("%llu/%llu = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
                static_cast<unsigned long long>(r.allocated_clusters),
                static_cast<unsigned long long>(r.total_clusters),
                allocated * 100 / static_cast<double>(r.total_clusters),
                static_cast<double>(r.fragmented_clusters) * 100 / allocated,
                static_cast<double>(r.compressed_clusters) * 100 / allocated);
  }
  if (r.image_end != 0) std::printf("Image end offset: %llu\n", static_cast<unsigned long long>(r.image_end));
}

int status_of(const CheckResult& r) {
  if (r.check_errors != 0) return kCheckError;
  if (r.corruptions != 0) return kCorrupt;
  return r.leaks != 0 ? kLeaks : 0;
}

CheckResult run_check(block::qcow2::Qcow2& image, Repair repair, bool quiet) {
  const auto say = [&](const std::string& line) {
    if (!quiet) std::fprintf(stderr, "%s\n", line.c_str());
  };
  return image.locked([&](block::qcow2::Image& i) {
    CheckResult r = block::qcow2::check(i, repair, say);
    if (repair != Repair::All || r.corruptions != 0 || r.check_errors != 0) return r;
    // In order again: writing is allowed.
    if (i.set_corrupt(false) != 0 || i.set_dirty(false) != 0) r.check_errors++;
    return r;
  });
}

}  // namespace

int info(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"output", true}, {"backing-chain"}});
  if (!a.ok()) return 1;
  const char output = a.output();
  if (output == 0) return 1;
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  std::vector<ImageReport> chain;
  std::string path = a.positional()[0], format = a.value("f");
  do {
    auto report = report_on(path, format, a.has("U"));
    if (!report) return complain(report.error());
    path = report->info.full_backing_file;
    format = report->info.backing_format;
    chain.push_back(report.take());
    if (chain.size() > block::kMaxDepth) return complain("Backing file '" + path + "' creates an infinite loop.");
  } while (a.has("backing-chain") && !path.empty());
  if (output == 'j') {
    std::fputs(json_report(chain, a.has("backing-chain")).c_str(), stdout);
    return 0;
  }
  for (size_t i = 0; i < chain.size(); i++) std::printf("%s%s", i == 0 ? "" : "\n", text_report(chain[i]).c_str());
  return 0;
}

int check(const std::vector<std::string>& args) {
  const Arguments a(args, {{"f", true}, {"r", true}, {"output", true}, {"T", true}, {"repair", true, "r"}});
  if (!a.ok()) return 1;
  const char output = a.output();
  if (output == 0) return 1;
  const std::string wanted = a.value("r");
  if (a.has("r") && wanted != "leaks" && wanted != "all")
    return usage("Unknown option value for -r (expecting 'leaks' or 'all'): " + wanted);
  if (a.positional().size() != 1) return usage("Expecting one image file name");
  const std::string& path = a.positional()[0];
  const Repair repair = wanted == "all" ? Repair::All : wanted == "leaks" ? Repair::Leaks : Repair::None;
  auto node = open_image(path, {.read_only = repair == Repair::None,
                                .format = a.value("f"),
                                .shared = a.has("U"),
                                .no_backing = true,
                                .repair = false});
  if (!node) return complain(node.error());
  auto* image = dynamic_cast<block::qcow2::Qcow2*>(node->get());
  if (image == nullptr) {
    complain("This image format does not support checks");
    return kNotSupported;
  }
  const bool quiet = a.quiet();
  CheckResult r = run_check(*image, repair, quiet);
  const u64 corruptions_fixed = r.corruptions_fixed, leaks_fixed = r.leaks_fixed;
  if (corruptions_fixed != 0 || leaks_fixed != 0) {
    if (output == 'h' && !quiet) {
      std::printf(
          "The following inconsistencies were found and repaired:\n\n"
          "    %llu leaked clusters\n    %llu corruptions\n\nDouble checking the fixed image now...\n",
          static_cast<unsigned long long>(leaks_fixed), static_cast<unsigned long long>(corruptions_fixed));
    }
    r = run_check(*image, Repair::None, true);
    r.corruptions_fixed = corruptions_fixed;
    r.leaks_fixed = leaks_fixed;
  }
  const int closed = image->close();
  if (closed != 0) r.check_errors++;
  if (output == 'j') {
    std::fputs(json_check(path, (*node)->format(), r).c_str(), stdout);
  } else if (!quiet) {
    print_findings(r);
  }
  return status_of(r);
}

}  // namespace doppel::app::img
