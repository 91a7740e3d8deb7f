// rsa_sign KEY.pem N: signs N messages with the guest's libcrypto (RSA, PKCS #1 v1.5, SHA-256) in one process and prints a checksum
// of the signatures. The few prototypes stand here, so that no development package of another architecture is needed.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_ctx_st EVP_MD_CTX;
EVP_PKEY* PEM_read_PrivateKey(FILE* file, EVP_PKEY** key, void* callback, void* user);
EVP_MD_CTX* EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX* ctx);
const void* EVP_sha256(void);
int EVP_DigestSignInit(EVP_MD_CTX* ctx, void** pctx, const void* digest, void* engine, EVP_PKEY* key);
int EVP_DigestSign(EVP_MD_CTX* ctx, unsigned char* signature, size_t* size, const unsigned char* data, size_t bytes);

int main(int argc, char** argv) {
  FILE* file = argc == 3 ? fopen(argv[1], "r") : NULL;
  EVP_PKEY* key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
  if (!key) {
    fprintf(stderr, "usage: rsa_sign KEY.pem N\n");
    return 2;
  }
  uint32_t sum = 0;
  for (int i = 0; i < atoi(argv[2]); i++) {
    unsigned char message[64] = {(unsigned char)i}, signature[1024];
    size_t size = sizeof signature;
    EVP_MD_CTX* ctx = EVP_MD_CTX_new();
    if (!EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) || !EVP_DigestSign(ctx, signature, &size, message, sizeof message)) return 1;
    for (size_t k = 0; k < size; k++) sum = sum * 31 + signature[k];
    EVP_MD_CTX_free(ctx);
  }
  printf("rsa %x\n", sum);
  return 0;
}
