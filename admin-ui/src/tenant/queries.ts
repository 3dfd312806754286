import { queryOptions } from "@tanstack/react-query"
import { api, type Page } from "../api"

export type Tenant = {
  slug: string
  company_name: string
  plan_tier: string
  subscription_status: string
  status_reason: string | null
  timezone: string
}

/** current is the open usage period, if there is one. */
export type Usage = {
  current?: { calls: number; adjusted_calls: number; period_start: string; period_end: string }
  max_monthly_calls: number | null
  usage_percentage: number
}

export type PhoneNumber = { id: string; phone_number: string; status: string; is_primary: boolean }

export const own = {
  tenant: () => queryOptions({ queryKey: ["tenant"], queryFn: () => api<Tenant>("/api/tenant") }),
  usage: () =>
    queryOptions({ queryKey: ["tenant", "usage"], queryFn: () => api<Usage>("/api/tenant/usage") }),
  numbers: () =>
    queryOptions({
      queryKey: ["tenant", "numbers"],
      queryFn: () => api<Page<PhoneNumber>>("/api/tenant/numbers"),
    }),
}
