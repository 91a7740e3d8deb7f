# enter(struct Context*): loads every register from the context, jumps to its pc, and at `resume` stores them again.
# $27 keeps the context meanwhile; $26 and $29 are not part of it. Both ABIs: o32 with FR 0 (-mfp32) or 1 (-mfp64), n64.
#include <sys/regdef.h>

#if _MIPS_SIM == _ABI64
#define SZ 8
#define REG_L ld
#define REG_S sd
#define REG_ADD daddiu
#else
#define SZ 4
#define REG_L lw
#define REG_S sw
#define REG_ADD addiu
#endif
#define OFF_HI (32 * SZ)
#define OFF_LO (33 * SZ)
#define OFF_SP (34 * SZ)
#define OFF_PC (35 * SZ)
#define OFF_FCSR (36 * SZ)
#define OFF_FPR (36 * SZ + 8)
#define OFF_DSP (OFF_FPR + 256)
#define OFF_MSACSR (OFF_DSP + 4)
#define OFF_ACC (OFF_DSP + 8)
#define OFF_W (OFF_ACC + 24)

        .set noat
        .set noreorder
        .set nomacro

        .macro fpr op
        .irp n, 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30
        \op $f\n, (OFF_FPR + 8 * \n)($27)
        .endr
#ifndef FR0
        .irp n, 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31
        \op $f\n, (OFF_FPR + 8 * \n)($27)
        .endr
#endif
        .endm
        .macro acc op
        .irp n, 1,2,3
        .ifc \op,lw
        lw $8, (OFF_ACC + 8 * \n - 8)($27)
        mthi $8, $ac\n
        lw $8, (OFF_ACC + 8 * \n - 4)($27)
        mtlo $8, $ac\n
        .else
        mfhi $8, $ac\n
        sw $8, (OFF_ACC + 8 * \n - 8)($27)
        mflo $8, $ac\n
        sw $8, (OFF_ACC + 8 * \n - 4)($27)
        .endif
        .endr
        .endm
        .macro vectors op
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        \op $w\n, (OFF_W + 16 * \n)($27)
        .endr
        .endm
        .macro gpr op
        .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,28,30,31
        \op $\n, (SZ * \n)($27)
        .endr
        .endm
        .macro kept op
        \op $16, 0($29)
        \op $17, 8($29)
        \op $18, 16($29)
        \op $19, 24($29)
        \op $20, 32($29)
        \op $21, 40($29)
        \op $22, 48($29)
        \op $23, 56($29)
        \op $28, 64($29)
        \op $30, 72($29)
        \op $31, 80($29)
        .endm
        .macro kept_fpr op
        .irp n, 20,22,24,26,28,30
        \op $f\n, (8 * \n - 64)($29)
        .endr
#ifndef FR0
        .irp n, 25,27,29,31
        \op $f\n, (8 * \n - 64)($29)
        .endr
#endif
        .endm

        .text
        .globl enter
        .ent enter
enter:
        REG_ADD $29, $29, -256
        kept REG_S
        kept_fpr sdc1
        move $27, $4
        REG_S $29, OFF_SP($27)
        lw $8, OFF_FCSR($27)
        ctc1 $8, $31
        fpr ldc1
#ifdef DSP
        lw $8, OFF_DSP($27)
        wrdsp $8, 0x3f
        acc lw
#endif
#ifdef MSA
        lw $8, OFF_MSACSR($27)
        ctcmsa $1, $8
        vectors ld.d
#endif
        REG_L $8, OFF_HI($27)
        mthi $8
        REG_L $8, OFF_LO($27)
        mtlo $8
        REG_L $26, OFF_PC($27)
        gpr REG_L
        jr $26
        nop
        .globl resume
resume:
        gpr REG_S
        mfhi $8
        REG_S $8, OFF_HI($27)
        mflo $8
        REG_S $8, OFF_LO($27)
        cfc1 $8, $31
        sw $8, OFF_FCSR($27)
        fpr sdc1
#ifdef DSP
        rddsp $8, 0x3f
        sw $8, OFF_DSP($27)
        acc sw
#endif
#ifdef MSA
        cfcmsa $8, $1
        sw $8, OFF_MSACSR($27)
        ctcmsa $1, $0
        vectors st.d
#endif
        ctc1 $0, $31
        REG_L $29, OFF_SP($27)
        kept_fpr ldc1
        kept REG_L
        jr $31
        REG_ADD $29, $29, 256
        .end enter
        .section .note.GNU-stack, "", %progbits
